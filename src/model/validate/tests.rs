//! A test for each rule, with OpenFGA's text.

use crate::model::Model;
use serde_json::{Value, json};

fn reason(model: &Value) -> String {
    match Model::from_json(model) {
        Ok(model) => model.validate().err().map(|fault| fault.reason).unwrap_or_default(),
        Err(fault) => fault.message,
    }
}

fn dsl(relations: &str) -> String {
    let text = format!("model\n  schema 1.1\ntype user\ntype document\n  relations\n{relations}");
    let model = Model::parse_dsl(&text).unwrap_or_else(|e| panic!("{text}{e:?}"));
    model.validate().err().map(|fault| fault.reason).unwrap_or_default()
}

#[expect(clippy::needless_pass_by_value, reason = "reads better at the calls")]
/// A model with one type of these relations and restrictions.
fn one(name: &str, relations: Value, restrictions: Value) -> Value {
    let about: serde_json::Map<String, Value> = restrictions
        .as_object()
        .unwrap()
        .iter()
        .map(|(r, list)| (r.clone(), json!({"directly_related_user_types": list})))
        .collect();
    json!({"schema_version": "1.1", "type_definitions": [
        {"type": "user"}, {"type": name, "relations": relations, "metadata": {"relations": about}}]})
}

#[test]
fn names_and_versions() {
    let version = json!({"schema_version": "1.0", "type_definitions": [{"type": "user"}]});
    assert_eq!(reason(&version), "invalid schema version");
    let twice = json!({"schema_version": "1.1", "type_definitions": [{"type": "user"}, {"type": "user"}]});
    assert_eq!(reason(&twice), "an authorization model cannot contain duplicate types");
    assert!(Model::from_json(&twice).unwrap().validate().unwrap_err().duplicate_types);
    let types = [
        ("", "the type name of a type definition cannot be an empty string"),
        ("self", "the definition of type 'self' is invalid"),
        ("this", "the definition of type 'this' is invalid"),
    ];
    for (name, text) in types {
        assert_eq!(reason(&one(name, json!({}), json!({}))), text);
    }
    let relations = [
        ("", "type 'd' defines a relation with an empty string for a name"),
        (
            "self",
            "the definition of relation 'self' in object type 'd' is invalid: self and this are reserved keywords",
        ),
        (
            "this",
            "the definition of relation 'this' in object type 'd' is invalid: self and this are reserved keywords",
        ),
    ];
    for (name, text) in relations {
        assert_eq!(reason(&one("d", json!({name: {"this": {}}}), json!({name: [{"type": "user"}]}))), text);
    }
}

#[test]
fn rewrites() {
    let invalid = |why: &str| format!("the definition of relation 'r' in object type 'd' is invalid: {why}");
    let relation = |rewrite: Value| reason(&one("d", json!({"r": rewrite}), json!({})));
    assert_eq!(relation(json!({})), invalid("invalid userset rewrite definition"));
    assert_eq!(relation(json!({"computedUserset": {"relation": "r"}})), invalid("invalid userset rewrite definition"));
    assert_eq!(relation(json!({"union": {"child": []}})), invalid("union has less than 2 children"));
    let one_child = json!([{"computedUserset": {"relation": "x"}}]);
    assert_eq!(
        relation(json!({"intersection": {"child": one_child}})),
        invalid("intersection has less than 2 children")
    );
    assert_eq!(dsl("    define r: x\n"), "'document#x' relation is undefined");
    assert_eq!(dsl("    define r: x from y\n"), "'document#y' relation is undefined");
    assert_eq!(
        dsl("    define p: [document] or q\n    define q: [document]\n    define r: q from p\n"),
        "the 'document#p' relation is referenced in at least one tupleset and thus must be a direct relation"
    );
    assert_eq!(
        dsl("    define p: [user]\n    define r: q from p\n"),
        "undefined relation: q does not appear as a relation in any of the directly related user types [type:\"user\"]"
    );
}

#[test]
fn restrictions() {
    let with = |rewrite: Value, list: Value| reason(&one("d", json!({"r": rewrite}), json!({"r": list})));
    assert_eq!(
        with(json!({"this": {}}), json!([])),
        "the assignable relation 'r' in object type 'd' must contain at least one relation type"
    );
    let computed = one(
        "d",
        json!({"r": {"computedUserset": {"relation": "s"}}, "s": {"this": {}}}),
        json!({"r": [{"type": "user"}], "s": [{"type": "user"}]}),
    );
    assert_eq!(
        reason(&computed),
        "the non-assignable relation 'r' in object type 'd' should not contain a relation type"
    );
    let invalid = |what: &str| format!("the relation type '{what}' on 'r' in object type 'document' is not valid");
    assert_eq!(dsl("    define r: [none]\n"), invalid("none"));
    assert_eq!(dsl("    define r: [user#x]\n"), invalid("user#x"));
    assert_eq!(dsl("    define r: [document, user:*]\n    define s: r from r\n"), invalid("user"));
    assert_eq!(dsl("    define r: [document, document#s]\n    define s: r from r\n"), invalid("document#s"));
    assert_eq!(dsl("    define r: [user with c]\n"), "condition c is undefined for relation r");
}

#[test]
fn entry_points_and_cycles() {
    let invalid =
        |r: &str, why: &str| format!("the definition of relation '{r}' in object type 'document' is invalid: {why}");
    let (loops, none) = ("potential loop", "no entrypoints defined");
    let cycle = "an authorization model cannot contain a cycle";
    assert_eq!(dsl("    define a: b\n    define b: a\n"), invalid("a", loops));
    assert_eq!(dsl("    define a: b or c\n    define b: c\n    define c: a\n"), invalid("a", loops));
    assert_eq!(dsl("    define r: [document#r]\n"), invalid("r", none));
    assert_eq!(dsl("    define p: [document]\n    define r: r from p\n"), invalid("r", none));
    assert_eq!(dsl("    define r: [user] and s\n    define s: [document#s]\n"), invalid("r", none));
    // Grantable, and yet computed from each other.
    assert_eq!(dsl("    define a: [user] or b\n    define b: a\n"), invalid("a", cycle));
    assert_eq!(dsl("    define a: b\n    define b: [user] or c\n    define c: b\n"), invalid("a", cycle));
    // A chain as long as a model may be is no danger to the stack.
    let chain: String = (0..5000).map(|i| format!("    define r{i}: r{}\n", i + 1)).collect();
    assert_eq!(dsl(&format!("{chain}    define r5000: [user]\n")), "");
}

#[test]
fn conditions() {
    let with = |condition: Value| {
        reason(
            &json!({"schema_version": "1.1", "type_definitions": [{"type": "user"}], "conditions": {"c": condition}}),
        )
    };
    let parameter = |ty: Value| json!({"name": "c", "expression": "true", "parameters": {"x": ty}});
    assert_eq!(
        with(json!({"name": "other", "expression": "true"})),
        "condition key 'c' does not match condition name 'other'"
    );
    let failed = "failed to compile expression on condition 'c': ";
    assert_eq!(
        with(json!({"name": "c", "expression": "x", "parameters": {"x": {"type_name": "TYPE_NAME_STRING"}}})),
        format!("{failed}expected a bool condition expression output, but got 'string'")
    );
    assert_eq!(
        with(json!({"name": "c", "expression": "y"})),
        format!("{failed}ERROR: c:1:1: undeclared reference to 'y' (in container '')\n | y\n | ^")
    );
    let decode = format!("{failed}failed to decode parameter type for parameter 'x': ");
    assert_eq!(
        with(parameter(json!({"type_name": "TYPE_NAME_UNSPECIFIED"}))),
        format!("{decode}unknown condition parameter type `TYPE_NAME_UNSPECIFIED`")
    );
    let string = json!({"type_name": "TYPE_NAME_STRING"});
    let list = |inner: Value| parameter(json!({"type_name": "TYPE_NAME_LIST", "generic_types": inner}));
    assert_eq!(with(list(json!([]))), format!("{decode}type `TYPE_NAME_LIST` requires 1 generic types; found 0"));
    assert_eq!(
        with(list(json!([string, string]))),
        format!("{decode}type `TYPE_NAME_LIST` requires 1 generic types; found 2")
    );
    assert_eq!(with(list(json!([string]))), "");
}

#[test]
fn what_a_store_takes_and_an_editor_does_not() {
    assert_eq!(dsl("    define r: [user, user]\n"), "");
    assert_eq!(dsl("    define r: [user]\ncondition c(x: int) {\n  x < 1\n}\n"), "");
    let any = json!({"schema_version": "1.1", "type_definitions": [{"type": "user"}], "conditions": {
        "none": {"name": "none", "expression": "true"},
        "any": {"name": "any", "expression": "x == 1", "parameters": {"x": {"type_name": "TYPE_NAME_ANY"}}}}});
    assert_eq!(reason(&any), "");
}
