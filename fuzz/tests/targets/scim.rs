//! SCIM (RFC 7643, RFC 7644): what a directory sends.

use crate::pick::{Pick, words};
use bailiwick_fuzz::modules::scim::{FILTER_BYTES_MAX, Filter, Kind, apply, is_target, read, selected};
use serde_json::{Map, Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

const PIECES: [&str; 32] = [
    "userName", "emails", "emails[", "]", "(", ")", "not (", " and ", " or ", " eq ", " ne ", " co ", " gt ", " pr", "\"a\"", "true",
    "null", "type", ".value", " ", "\"", "\\", "urn:ietf:params:scim:schemas:core:2.0:User:", "é", "\0", ":", ".", "$ref", "members[",
    "displayName", "meta.created", "\"2026-05-13T04:42:34Z\"",
];

/// Any text is a filter that prints itself, or is refused with the standard's word for it.
#[test]
fn filter_text() {
    bolero::check!().for_each(|input: &[u8]| {
        let someone = json!({"userName": "a", "emails": [{"value": "a", "type": "A"}], "active": true});
        for text in [String::from_utf8_lossy(input).into_owned(), words(input, &PIECES)] {
            for kind in [Kind::User, Kind::Group] {
                match Filter::parse(kind, &text) {
                    Ok(filter) => {
                        assert!(text.len() <= FILTER_BYTES_MAX);
                        let printed = filter.to_string();
                        // It may be longer than what was read: escapes are written out.
                        if printed.len() <= FILTER_BYTES_MAX {
                            let again = Filter::parse(kind, &printed).expect("its own print");
                            assert_eq!((&again, again.to_string()), (&filter, printed));
                            assert_eq!(again.matches(&someone), filter.matches(&someone));
                        }
                    }
                    Err(fault) => assert_eq!((fault.status, fault.scim_type), (400, Some("invalidFilter"))),
                }
                if let Err(fault) = is_target(kind, &text) {
                    assert_eq!((fault.status, fault.scim_type), (400, Some("invalidPath")));
                }
            }
        }
    });
}

/// Attributes by their paths: where they are, whether letters count, and whether they are true or false.
const ATTRIBUTES: [(&str, &[&str], bool, bool); 9] = [
    ("userName", &["userName"], false, false),
    ("USERNAME", &["userName"], false, false),
    ("externalId", &["externalId"], true, false),
    ("active", &["active"], false, true),
    ("name.familyName", &["name", "familyName"], false, false),
    ("emails", &["emails", "value"], false, false),
    ("emails.type", &["emails", "type"], false, false),
    ("emails.primary", &["emails", "primary"], false, true),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", &[ENTERPRISE, "department"], false, false),
];
const TEXTS: [&str; 6] = ["a", "A", "ab", "b", "", "É"];

/// A filter as its text and as what it means, made by somebody who reads the standard and not our code.
enum Meant {
    Compare(usize, &'static str, Value),
    Present(usize),
    And(Box<Meant>, Box<Meant>),
    Or(Box<Meant>, Box<Meant>),
    Not(Box<Meant>),
    /// Of one of the mail addresses all of it holds.
    Email(Box<Meant>),
}

fn meant(pick: &mut Pick<'_>, depth: usize, within: bool) -> Meant {
    let boxed = |pick: &mut Pick<'_>, depth| Box::new(meant(pick, depth, within));
    match pick.below(if depth == 0 { 3 } else { 7 }) {
        0 | 1 => {
            let at = if within { 6 + pick.below(2) } else { pick.below(ATTRIBUTES.len()) };
            if ATTRIBUTES[at].3 {
                return Meant::Compare(at, pick.of(&["eq", "ne"]), pick.once_in(2).into());
            }
            let op = pick.of(&["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]);
            let null = (op == "eq" || op == "ne") && pick.once_in(4);
            Meant::Compare(at, op, if null { Value::Null } else { pick.of(&TEXTS).into() })
        }
        2 => Meant::Present(if within { 6 } else { pick.below(ATTRIBUTES.len()) }),
        3 => Meant::And(boxed(pick, depth - 1), boxed(pick, depth - 1)),
        4 => Meant::Or(boxed(pick, depth - 1), boxed(pick, depth - 1)),
        5 => Meant::Not(boxed(pick, depth - 1)),
        _ if within => Meant::Not(boxed(pick, depth - 1)),
        _ => Meant::Email(Box::new(meant(pick, depth - 1, true))),
    }
}

impl Meant {
    /// With brackets around everything, so that nothing rests on what binds how strongly.
    fn text(&self, within: bool) -> String {
        let name = |at: &usize| if within { ATTRIBUTES[*at].1[1] } else { ATTRIBUTES[*at].0 };
        match self {
            Meant::Compare(at, op, value) => format!("{} {op} {value}", name(at)),
            Meant::Present(at) => format!("{} pr", name(at)),
            Meant::And(a, b) => format!("({}) and ({})", a.text(within), b.text(within)),
            Meant::Or(a, b) => format!("({}) or ({})", a.text(within), b.text(within)),
            Meant::Not(a) => format!("not ({})", a.text(within)),
            Meant::Email(a) => format!("emails[{}]", a.text(true)),
        }
    }

    fn holds(&self, resource: &Value, within: bool) -> bool {
        let values = |at: &usize| {
            let path = ATTRIBUTES[*at].1;
            all(resource, if within { &path[1..] } else { path })
        };
        match self {
            Meant::Compare(at, op, Value::Null) => values(at).is_empty() == (*op == "eq"),
            Meant::Compare(at, "ne", wanted) => !values(at).iter().any(|value| compared(*at, value, "eq", wanted)),
            Meant::Compare(at, op, wanted) => values(at).iter().any(|value| compared(*at, value, op, wanted)),
            Meant::Present(at) => !values(at).is_empty(),
            Meant::And(a, b) => a.holds(resource, within) && b.holds(resource, within),
            Meant::Or(a, b) => a.holds(resource, within) || b.holds(resource, within),
            Meant::Not(a) => !a.holds(resource, within),
            Meant::Email(a) => all(resource, &["emails"]).iter().any(|email| a.holds(email, true)),
        }
    }
}

/// All values at a path, those of lists one by one.
fn all(value: &Value, path: &[&str]) -> Vec<Value> {
    match (value, path.split_first()) {
        (Value::Array(items), _) => items.iter().flat_map(|item| all(item, path)).collect(),
        (_, Some((name, path))) => value.get(name).map(|inner| all(inner, path)).unwrap_or_default(),
        (Value::Null, None) => Vec::new(),
        (Value::Object(members), None) if members.is_empty() => Vec::new(),
        (_, None) => vec![value.clone()],
    }
}

fn compared(at: usize, value: &Value, op: &str, wanted: &Value) -> bool {
    let (Some(value), Some(wanted)) = (value.as_str(), wanted.as_str()) else { return op == "eq" && value == wanted };
    let plain = |text: &str| if ATTRIBUTES[at].2 { text.to_owned() } else { text.to_lowercase() };
    let (value, wanted) = (plain(value), plain(wanted));
    match op {
        "eq" => value == wanted,
        "co" => value.contains(&wanted),
        "sw" => value.starts_with(&wanted),
        "ew" => value.ends_with(&wanted),
        "gt" => value > wanted,
        "ge" => value >= wanted,
        "lt" => value < wanted,
        "le" => value <= wanted,
        other => panic!("{other}"),
    }
}

/// Somebody, perhaps with little known of them.
fn someone(pick: &mut Pick<'_>) -> Value {
    let mut someone = json!({"schemas": [USER], "userName": pick.of(&TEXTS)});
    let mut put = |name: &str, value: Value| drop(someone.as_object_mut().unwrap().insert(name.to_owned(), value));
    if pick.once_in(2) {
        put("externalId", pick.of(&TEXTS).into());
    }
    if pick.once_in(2) {
        put("active", pick.once_in(2).into());
    }
    if pick.once_in(2) {
        put("name", json!({"familyName": pick.of(&TEXTS)}));
    }
    if pick.once_in(2) {
        put(ENTERPRISE, json!({"department": pick.of(&TEXTS)}));
    }
    let mut primary = false;
    let emails = (0..pick.below(4)).map(|_| {
        let mut email = json!({"value": pick.of(&TEXTS)});
        if pick.once_in(2) {
            email["type"] = pick.of(&TEXTS).into();
        }
        if !primary && pick.once_in(3) {
            primary = true;
            email["primary"] = true.into();
        }
        email
    });
    let emails: Vec<Value> = emails.collect();
    if !emails.is_empty() {
        put("emails", emails.into());
    }
    someone
}

/// A filter holds for whom the standard says.
#[test]
fn filter_meaning() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let meant = meant(&mut pick, 4, false);
        let text = meant.text(false);
        let Ok(filter) = Filter::parse(Kind::User, &text) else {
            assert!(text.len() > FILTER_BYTES_MAX, "{text}");
            return;
        };
        let someone = someone(&mut pick);
        assert_eq!(filter.matches(&someone), meant.holds(&someone, false), "{text} of {someone}");
    });
}

/// A body, or what was made of it, as one that would be sent.
fn whole(kind: Kind, wanted: &Map<String, Value>) -> Value {
    let mut body = wanted.clone();
    body.insert("schemas".to_owned(), json!([if kind == Kind::User { USER } else { GROUP }]));
    body.into()
}

/// What is made of any body is read as itself, and has one value that is meant first at most.
fn is_tidy(kind: Kind, wanted: &Map<String, Value>) {
    let again = read(kind, &whole(kind, wanted)).unwrap_or_else(|fault| panic!("{fault}: {wanted:?}"));
    assert_eq!(&again, wanted, "{again:?}");
}

const NAMES: [&str; 28] = [
    "userName", "USERNAME", "name", "givenName", "active", "emails", "value", "type", "primary", "display", "title", "id", "meta",
    "groups", "manager", ENTERPRISE, "department", "members", "$ref", "displayName", "externalId", "password", "addresses",
    "photos", "profileUrl", "schemas", "unknown", "created",
];
const VALUES: [&str; 10] = ["a", "work", "home", "true", "False", "", "\u{e9}", "User", "2026-05-13T04:42:34Z", USER];

/// Any body is read into one form, or is refused.
#[test]
fn bodies() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        for kind in [Kind::User, Kind::Group] {
            let mut body = Value::Object(pick.object(&NAMES, &VALUES, 4));
            let urns = [if kind == Kind::User { USER } else { GROUP }, ENTERPRISE, GROUP];
            body["schemas"] = json!(&urns[..1 + pick.below(3)]);
            for body in [body, serde_json::from_slice(input).unwrap_or_default()] {
                match read(kind, &body) {
                    Ok(wanted) => {
                        is_tidy(kind, &wanted);
                        assert!(["id", "meta", "groups", "password"].iter().all(|name| !wanted.contains_key(*name)));
                    }
                    Err(fault) => assert!(matches!(fault.scim_type, Some("invalidSyntax" | "invalidValue"))),
                }
            }
        }
    });
}

const PATHS: [&str; 36] = [
    "emails", "title", "userName", "active", "name", "name.givenName", "emails.type", "emails.primary", "emails.value",
    r#"emails[type eq "work"]"#, r#"emails[type eq "work"].value"#, r#"emails[type eq "work" and primary eq true].display"#,
    "emails[value pr].type", "emails[type eq null].value", "emails[not (primary eq true)]", r#"emails[type co "o"].primary"#,
    ENTERPRISE, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", "members", r#"members[value eq "a"]"#,
    r#"members[display eq "a"]"#, r#"members[type eq "User"].value"#, "displayName", "externalId", "id", "groups", "password",
    "addresses", r#"addresses[type eq "work"].locality"#, "photos", r#"photos[type eq "a"]"#, "unknown", "", "name[givenName pr]",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
];

fn operation(pick: &mut Pick<'_>) -> Value {
    let mut operation = json!({"op": pick.of(&["add", "replace", "remove", "Add", "move"])});
    if !pick.once_in(5) {
        operation["path"] = pick.of(&PATHS).into();
    }
    operation["value"] = match pick.below(6) {
        0 => pick.of(&VALUES).into(),
        1 => pick.once_in(2).into(),
        2 => json!([{"value": pick.of(&VALUES), "type": pick.of(&VALUES), "primary": pick.once_in(2)}]),
        3 => json!({"value": pick.of(&VALUES), "type": pick.of(&VALUES)}),
        4 => pick.object(&NAMES, &VALUES, 2).into(),
        _ => pick.json(&NAMES, &VALUES, 3),
    };
    operation
}

/// Operations are done all or none, leave what a body could have said, and one without a filter does no more when it comes
/// again (RFC 7644 3.5.2: a request that is sent twice is not taken for two).
#[test]
fn patch() {
    let patch = |operations: &[Value]| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
    };
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let (kind, before) = if pick.once_in(3) {
            let members = json!([{"value": "a", "type": "User"}, {"value": "b"}]);
            (Kind::Group, read(Kind::Group, &json!({"schemas": [GROUP], "displayName": "g", "members": members})))
        } else {
            (Kind::User, read(Kind::User, &someone(&mut pick)))
        };
        let before = before.unwrap_or_else(|fault| panic!("{fault}"));
        let operations: Vec<Value> = (0..=pick.below(4)).map(|_| operation(&mut pick)).collect();
        let mut after = before.clone();
        match apply(kind, &patch(&operations), &mut after) {
            Ok(()) => is_tidy(kind, &after),
            Err(_) => assert_eq!(after, before, "{operations:?}"),
        }
        if let [one] = operations.as_slice()
            && one.get("path").and_then(Value::as_str).is_some_and(|path| !path.is_empty() && !path.contains('['))
            && after != before
        {
            let once = after.clone();
            apply(kind, &patch(&operations), &mut after).unwrap_or_else(|fault| panic!("{one}: {fault}"));
            assert_eq!(after, once, "{one}");
        }
        let mut other = before.clone();
        if apply(kind, &serde_json::from_slice(input).unwrap_or_default(), &mut other).is_ok() {
            is_tidy(kind, &other);
        }
    });
}

/// Whether a value is a part of another.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_part(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.iter().all(|value| whole.iter().any(|whole| is_part(value, whole)))
        }
        _ => part == whole,
    }
}

/// What is answered is a part of what there is, and never without its id.
#[test]
fn selections() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut pick = Pick(input);
        let mut resource = someone(&mut pick);
        resource["id"] = "1".into();
        let lists = [",", "id", "emails", "emails.value", "userName", "meta", "name.familyName", ENTERPRISE, " ", "password", "x"];
        let named = words(pick.0, &lists);
        let text = String::from_utf8_lossy(input);
        for list in [named.as_str(), &text] {
            for (only, without) in [(Some(list), None), (None, Some(list))] {
                match selected(Kind::User, only, without, &resource) {
                    Ok(part) => {
                        assert!(is_part(&part, &resource), "{part} of {resource}");
                        assert_eq!((&part["id"], &part["schemas"]), (&resource["id"], &resource["schemas"]));
                    }
                    Err(fault) => assert_eq!(fault.scim_type, Some("invalidPath")),
                }
            }
        }
    });
}
