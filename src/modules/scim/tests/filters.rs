//! Filters: the standard's examples, what is refused, and any text and any filter.

use super::*;
use crate::modules::scim::filter::{FILTER_DEPTH_MAX, Filter, Node, Op, Target};
use crate::modules::scim::path::Path;
use crate::modules::scim::schema::Type;
use proptest::prelude::*;

#[test]
fn filters_hold_as_the_standard_says() {
    let holds = [
        r#"userName eq "bjensen@example.com""#,
        r#"userName Eq "BJENSEN@example.com""#,
        r#"name.familyName co "ens""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "b""#,
        r#"userName ew ".com""#,
        "title pr",
        "not (nickName pr)",
        r#"nickName eq null"#,
        r#"meta.lastModified gt "2026-05-13T04:42:33+00:00""#,
        r#"meta.lastModified le "2026-05-13T05:42:34+01:00""#,
        r#"title pr and userType eq "employee""#,
        r#"title eq "x" or userType eq "Intern" or active eq true"#,
        r#"userType eq "x" and title pr or active eq true"#,
        r#"userType ne "Intern" and not (emails co "example.net")"#,
        r#"emails.type eq "home""#,
        r#"emails[type eq "work" and value co "@example.com"]"#,
        r#"emails[type eq "home"] and emails[primary eq true]"#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "26118915""#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:Manager.displayName sw "john""#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr"#,
        r#"externalId eq "HR-7""#,
        r#"((((active eq true))))"#,
        r#"displayName eq "Babs Jens\u0065n""#,
    ];
    for text in holds {
        assert!(Filter::parse(Kind::User, text).unwrap().matches(&barbara()), "{text}");
    }
    let not = [
        r#"externalId eq "hr-7""#, // its letters count
        r#"emails[type eq "home" and primary eq true]"#,
        "nickName pr",
        r#"nickName co """#,
        "active ne true",
        r#"userType eq "x" and (title pr or active eq true)"#,
        r#"emails ne "babs@jensen.org""#,
        r#"meta.lastModified lt "2026-05-13T04:42:34Z""#,
    ];
    for text in not {
        assert!(!Filter::parse(Kind::User, text).unwrap().matches(&barbara()), "{text}");
    }
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    let nested = format!("{}active eq true{}", "(".repeat(FILTER_DEPTH_MAX + 1), ")".repeat(FILTER_DEPTH_MAX + 1));
    let long = format!(r#"userName eq "{}""#, "a".repeat(5_000));
    for (text, says) in [
        ("", "no attribute"),
        ("userName", "no operator"),
        ("userName eq", "write a text"),
        ("userName eq bjensen", "write a text"),
        (r#"userName eq "b"#, "write a text"),
        (r#"userName xx "b""#, "no operator"),
        (r#"usrName eq "b""#, "no attribute `usrName`"),
        (r#"name eq "b""#, "no value of its own"),
        ("active gt true", "does not go"),
        (r#"active eq "true""#, "does not go"),
        ("userName eq 7", "write a text"),
        (r#"meta.created gt "yesterday""#, "no time"),
        ("title pr and", "no attribute"),
        ("title pr title pr", "does not belong"),
        ("(title pr", "`)` is missing"),
        ("title pr)", "does not belong"),
        ("not title pr", "brackets"),
        (r#"emails[type eq "work""#, "`]` is missing"),
        (r#"emails[type eq "work"].value eq "x""#, "does not belong"),
        (r#"title[type eq "work"]"#, "brackets `[`"),
        (r#"emails[userName eq "x"]"#, "no attribute `userName`"),
        (r#"emails[value[type pr] pr]"#, "stand in no others"),
        (&nested, "brackets within brackets"),
        (&long, "longer than"),
    ] {
        let fault = Filter::parse(Kind::User, text).unwrap_err();
        assert_eq!((fault.status, fault.scim_type), (400, Some("invalidFilter")), "{text}");
        assert!(fault.detail.contains(says), "{text}: {}", fault.detail);
    }
    let deep = format!("{}active eq true{}", "(".repeat(FILTER_DEPTH_MAX), ")".repeat(FILTER_DEPTH_MAX));
    Filter::parse(Kind::User, &deep).unwrap();
}

/// Something to compare, by its path in a filter.
fn comparison() -> impl Strategy<Value = Node> {
    let names = [
        "userName",
        "active",
        "title",
        "name.givenName",
        "emails.value",
        "emails.primary",
        "externalId",
        "meta.created",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    ];
    let text = prop_oneof!["[a-zA-Z@. ]{0,6}", Just("Tours".to_owned()), ".{0,4}"];
    (prop::sample::select(names.to_vec()), prop::sample::select(Op::ALL), text, any::<bool>()).prop_map(
        |(name, op, text, flag)| {
            let path = Path::find(Kind::User, name).unwrap();
            let equal = matches!(op, Op::Eq | Op::Ne);
            match path.last().unwrap().kind {
                Type::Boolean => Node::Compare(path, if flag { Op::Eq } else { Op::Ne }, (text.len() > 2).into()),
                Type::DateTime if !matches!(op, Op::Co | Op::Sw | Op::Ew) => {
                    Node::Compare(path, op, "2026-05-13T04:42:34Z".into())
                }
                Type::Text if equal && flag && text.is_empty() => Node::Compare(path, op, Value::Null),
                Type::Text => Node::Compare(path, op, text.into()),
                Type::Integer | Type::DateTime | Type::Reference | Type::Complex => Node::Present(path),
            }
        },
    )
}

fn within() -> impl Strategy<Value = Node> {
    let inner = |name| Path::inside(Kind::User.attribute("emails").unwrap(), name).unwrap();
    let leaf = prop_oneof![
        "[a-z@.]{0,5}".prop_map(move |text| Node::Compare(inner("value"), Op::Co, text.into())),
        any::<bool>().prop_map(move |flag| Node::Compare(inner("primary"), Op::Eq, flag.into())),
        Just(Node::Present(inner("type"))),
    ];
    both_ways(leaf.boxed()).prop_map(|node| Node::Within(Path::find(Kind::User, "emails").unwrap(), Box::new(node)))
}

fn both_ways(leaf: BoxedStrategy<Node>) -> impl Strategy<Value = Node> {
    leaf.prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Node::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Node::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|a| Node::Not(Box::new(a))),
        ]
    })
}

fn filter() -> impl Strategy<Value = Node> {
    both_ways(prop_oneof![3 => comparison(), 1 => within()].boxed())
}

/// Pieces of filters in any order, which come further into the reader than any text does.
fn pieces() -> impl Strategy<Value = String> {
    let all = [
        "userName",
        "emails",
        "emails[",
        "]",
        "(",
        ")",
        "not (",
        " and ",
        " or ",
        " eq ",
        " pr",
        "\"a\"",
        "true",
        "null",
        "type",
        ".value",
        " ",
        "\"",
        "\\",
        "urn:ietf:params:scim:schemas:core:2.0:User:",
        "é",
        "\0",
        ":",
        ".",
        "$ref",
    ];
    prop::collection::vec(prop::sample::select(all.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_filter_that_prints_itself_or_is_refused(text in prop_oneof![".{0,60}", pieces()]) {
        for kind in [Kind::User, Kind::Group] {
            match Filter::parse(kind, &text) {
                Ok(read) => {
                    let _ = read.matches(&barbara());
                    prop_assert_eq!(&Filter::parse(kind, &read.to_string()).unwrap(), &read);
                }
                Err(fault) => prop_assert_eq!(fault.scim_type, Some("invalidFilter")),
            }
            if let Err(fault) = Target::parse(kind, &text) {
                prop_assert_eq!(fault.scim_type, Some("invalidPath"));
            }
        }
    }

    #[test]
    fn any_filter_is_read_as_it_is_printed(node in filter()) {
        let printed = Filter(node.clone());
        prop_assert_eq!(Filter::parse(Kind::User, &printed.to_string()).unwrap(), printed);
    }

    /// What the reader makes of `and`, `or` and `not` is what they mean, whatever stands around them.
    #[test]
    fn what_a_filter_means_is_made_of_what_its_parts_mean(a in filter(), b in filter()) {
        let means = |text: String| Filter::parse(Kind::User, &text).unwrap().matches(&barbara());
        let (x, y) = (means(a.to_string()), means(b.to_string()));
        prop_assert_eq!(means(format!("({a}) and ({b})")), x && y);
        prop_assert_eq!(means(format!("({a}) or ({b})")), x || y);
        prop_assert_eq!(means(format!("not ({a})")), !x);
        prop_assert_eq!(means(format!("not (({a}) and ({b}))")), means(format!("not ({a}) or not ({b})")));
    }
}
