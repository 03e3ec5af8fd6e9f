//! Bodies, operations of PATCH, and the part of a resource that is answered.

use super::*;
use crate::modules::scim::patch::{OPERATIONS_MAX, apply};
use crate::modules::scim::shape::{self, Selection, VALUES_MAX, Wanted};

fn wanted() -> Wanted {
    shape::read(Kind::User, &barbara()).unwrap()
}

fn patch(operations: &Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

/// What becomes of Barbara.
fn after(operations: &Value) -> Value {
    let mut wanted = wanted();
    apply(Kind::User, &patch(operations), &mut wanted).unwrap_or_else(|fault| panic!("{operations}: {fault}"));
    Value::Object(wanted)
}

#[test]
fn a_body_is_read_by_the_schema_in_one_spelling() {
    let read = Value::Object(wanted());
    assert_eq!((read.get("id"), read.get("meta"), read.get("schemas")), (None, None, None), "the server's to say");
    assert_eq!(read[ENTERPRISE]["manager"], json!({"value": "26118915"}), "and so is what a manager is called");
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    let other = shape::read(
        Kind::User,
        &json!({
            "SCHEMAS": [core.to_uppercase()], "username": "x", "ACTIVE": "False", "password": "secret", "title": null,
            "emails": [], "phoneNumbers": {"value": "1"}, ENTERPRISE.to_lowercase(): {"Manager": "7"},
        }),
    );
    let expected = json!({
        "userName": "x", "active": false, "phoneNumbers": [{"value": "1"}], ENTERPRISE: {"manager": {"value": "7"}},
    });
    assert_eq!(Value::Object(other.unwrap()), expected);
    for (body, keyword) in [
        (json!([]), "invalidSyntax"),
        (json!({"userName": "x"}), "invalidSyntax"),
        (json!({"schemas": [core, "urn:other"], "userName": "x"}), "invalidSyntax"),
        (json!({"schemas": [core], "usrName": "x"}), "invalidSyntax"),
        (json!({"schemas": [core], "userName": "x", "USERNAME": "y"}), "invalidSyntax"),
        (json!({"schemas": [core], "emails": [{"adress": "x"}]}), "invalidSyntax"),
        (json!({"schemas": [core], "active": "perhaps"}), "invalidValue"),
        (json!({"schemas": [core], "userName": 7}), "invalidValue"),
        (json!({"schemas": [core], "name": "Barbara"}), "invalidValue"),
        (json!({"schemas": [core], "emails": [{"primary": true}, {"primary": true}]}), "invalidValue"),
    ] {
        assert_eq!(shape::read(Kind::User, &body).unwrap_err().scim_type, Some(keyword), "{body}");
    }
}

#[test]
fn operations_do_what_the_standard_and_the_directories_mean() {
    let one = |op: &str, path: &str, value: Value| after(&json!([{"op": op, "path": path, "value": value}]));
    // Add: one value takes the place, of several it is one more, within a complex one it is laid over.
    assert_eq!(one("add", "nickName", json!("Babs"))["nickName"], "Babs");
    let added = one("Add", "emails", json!([{"value": "b@x.org", "type": "other", "primary": true}]));
    let flags: Vec<&Value> = added["emails"].as_array().unwrap().iter().map(|email| &email["primary"]).collect();
    assert_eq!(flags, [&json!(false), &Value::Null, &json!(true)], "another is primary now");
    assert_eq!(one("add", "emails", json!({"value": "babs@jensen.org", "type": "home"})), Value::Object(wanted()));
    assert_eq!(
        one("replace", "name", json!({"familyName": "J."}))["name"],
        json!({"givenName": "Barbara", "familyName": "J."})
    );
    // Microsoft Entra: a work address that is not there yet, a text for a manager, a text for false, names with dots.
    let fresh = one("Add", r#"phoneNumbers[type eq "work"].value"#, json!("555"));
    assert_eq!(fresh["phoneNumbers"], json!([{"type": "work", "value": "555"}]));
    // What such a filter says is read as a body is: what is null, or the server's to say, is not there.
    let fresh = one("add", r#"emails[type eq null and display eq "B"].value"#, json!("b@x.org"));
    assert_eq!(fresh["emails"][2], json!({"display": "B", "value": "b@x.org"}));
    let manager = format!("{ENTERPRISE}:manager");
    assert_eq!(one("Replace", &manager, json!("99"))[ENTERPRISE]["manager"]["value"], "99");
    let many = after(&json!([{"op": "Replace", "value": {
        "active": "False", "name.givenName": "B.", format!("{ENTERPRISE}:department"): "Sales",
        ENTERPRISE: {"costCenter": "4130", "schemas": [ENTERPRISE]}, "id": "other",
    }}]));
    assert_eq!((&many["active"], &many["name"]["givenName"]), (&json!(false), &json!("B.")));
    assert_eq!(many[ENTERPRISE]["department"], "Sales");
    assert_eq!((&many[ENTERPRISE]["costCenter"], many.get("id")), (&json!("4130"), None));
    // Values for which a filter holds.
    let home = one("replace", r#"emails[type eq "home"].value"#, json!("home@x.org"));
    assert_eq!(home["emails"][1], json!({"value": "home@x.org", "type": "home"}));
    assert_eq!(home["emails"][0], wanted()["emails"][0]);
    let primary = one("replace", r#"emails[type eq "home"].primary"#, json!(true));
    assert_eq!(primary["emails"][0]["primary"], false, "one is primary");
    // Remove, and what is not there is gone already.
    let gone = after(&json!([
        {"op": "remove", "path": r#"emails[type eq "work"]"#}, {"op": "remove", "path": "emails[value pr].type"},
        {"op": "remove", "path": r#"emails[type eq "other"]"#}, {"op": "remove", "path": "nickName"},
        {"op": "remove", "path": manager}, {"op": "remove", "path": format!("{ENTERPRISE}:department")},
        {"op": "remove", "path": "name.givenName"}, {"op": "remove", "path": "password"},
    ]));
    assert_eq!(gone["emails"], json!([{"value": "babs@jensen.org"}]));
    assert_eq!((gone.get(ENTERPRISE), &gone["name"]), (None, &json!({"familyName": "Jensen"})));
    let listed = json!([{"op": "remove", "path": "emails", "value": [{"value": "babs@jensen.org", "type": "home"}]}]);
    assert_eq!(after(&listed)["emails"].as_array().unwrap().len(), 1, "those that are listed, not all");
}

#[test]
fn operations_that_cannot_be_done_do_nothing() {
    for (operation, keyword) in [
        (json!({"op": "move", "path": "title"}), "invalidSyntax"),
        (json!({"op": "add", "path": "title"}), "invalidValue"),
        (json!({"op": "add", "value": "x"}), "invalidValue"),
        (json!({"op": "remove"}), "noTarget"),
        (json!({"op": "add", "path": "tilte", "value": "x"}), "invalidPath"),
        (json!({"op": "add", "path": 7, "value": "x"}), "invalidPath"),
        (json!({"op": "replace", "path": "emails[type eq 7].value", "value": "x"}), "invalidPath"),
        (json!({"op": "replace", "path": r#"emails[type eq "fax"].value"#, "value": "x"}), "noTarget"),
        (json!({"op": "add", "path": r#"emails[type ne "fax" and type sw "z"].value"#, "value": "x"}), "noTarget"),
        (json!({"op": "replace", "path": "ims.type", "value": "x"}), "noTarget"),
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (json!({"op": "remove", "path": "groups"}), "mutability"),
        (json!({"op": "remove", "path": "userName"}), "mutability"),
        (json!({"op": "remove", "path": "active"}), "mutability"),
        (json!({"op": "replace", "path": "emails[value pr].primary", "value": true}), "invalidValue"),
    ] {
        let mut changed = wanted();
        let before = [json!({"op": "replace", "path": "title", "value": "Boss"}), operation.clone()];
        let fault = apply(Kind::User, &patch(&json!(before)), &mut changed).unwrap_err();
        assert_eq!((fault.scim_type, changed), (Some(keyword), wanted()), "{operation}: {fault}");
        assert!(fault.detail.starts_with("operation 2: "), "{fault}");
    }
    let many: Vec<Value> = vec![json!({"op": "remove", "path": "title"}); OPERATIONS_MAX + 1];
    assert_eq!(apply(Kind::User, &patch(&json!(many)), &mut wanted()).unwrap_err().status, 413);
    assert!(apply(Kind::User, &json!({"Operations": []}), &mut wanted()).is_err());
    // However they come, values are no more than a body may have.
    let value = |n: usize| json!({"op": "add", "path": "roles", "value": [{"value": n.to_string()}]});
    let some = |n: usize| patch(&json!((0..n).map(value).collect::<Vec<_>>()));
    apply(Kind::User, &some(VALUES_MAX), &mut wanted()).unwrap();
    assert_eq!(apply(Kind::User, &some(VALUES_MAX + 1), &mut wanted()).unwrap_err().scim_type, Some("invalidValue"));
    let described = |n: usize| json!({"op": "add", "path": format!("roles[value eq \"{n}\"].type"), "value": "x"});
    let many: Vec<Value> = (0..=VALUES_MAX).map(described).collect();
    assert_eq!(apply(Kind::User, &patch(&json!(many)), &mut wanted()).unwrap_err().scim_type, Some("invalidValue"));
    let mut group = Wanted::new();
    let member = json!([{"op": "replace", "path": "members[value eq \"x\"].value", "value": "y"}]);
    assert_eq!(apply(Kind::Group, &patch(&member), &mut group).unwrap_err().scim_type, Some("mutability"));
}

#[test]
fn what_is_answered_is_what_was_asked_for() {
    let of = |attributes: Option<&str>, excluded: Option<&str>| {
        Selection::read(Kind::User, &[], attributes, excluded).unwrap().of(Kind::User, &barbara())
    };
    let all = of(None, None);
    assert_eq!(all[ENTERPRISE]["manager"], json!({"value": "26118915"}), "what a manager is called is asked for");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&of(Some("username"), None)), ["schemas", "id", "userName"]);
    let part = of(Some(&format!("emails.value, {ENTERPRISE}:manager.displayName")), None);
    assert_eq!(part["emails"], json!([{"value": "bjensen@example.com"}, {"value": "babs@jensen.org"}]));
    assert_eq!(part[ENTERPRISE], json!({"manager": {"displayName": "John Smith"}}));
    assert_eq!(names(&of(Some(ENTERPRISE), None)), ["schemas", "id", ENTERPRISE]);
    let without = of(None, Some(&format!("id,emails.type,name,{ENTERPRISE}")));
    assert_eq!((&without["id"], without.get("name"), without.get(ENTERPRISE)), (&json!("2819c223"), None, None));
    assert_eq!(without["emails"][1], json!({"value": "babs@jensen.org"}));
    assert!(Selection::read(Kind::User, &[], Some("usrName"), None).is_err());
    assert!(Selection::read(Kind::User, &[], Some("userName"), Some("title")).is_err());
}
