//! The semantics that are easily got wrong, one test for each rule, through Check, ListObjects and ListUsers.

use crate::story::{Story, model, tuple};
use bailiwick::engine::*;
use bailiwick::tuple::*;

const FOLDERS: &str = "type user\ntype folder\n  relations\n    define parent: [folder]\n    \
                       define viewer: [user] or viewer from parent\n";
const GROUPS: &str = "type user\ntype group\n  relations\n    define member: [user, group#member]\n";
const CONDITIONS: &str = "type user\ntype document\n  relations
    define reader: [user, user with small]
    define blocked: [user, user with small]
    define either: reader or blocked
    define both: reader and blocked
    define viewer: reader but not blocked
condition small(x: int) {\n  x < 5\n}\n";

fn is_condition(error: &QuestionError) -> bool {
    matches!(error, QuestionError::Condition { .. })
}

fn too_deep<T>(answer: &Result<T, QuestionError>) -> bool {
    matches!(answer, Err(QuestionError::DepthExceeded { depth_max: 25 }))
}

/// Folders `0` to `hops`, each in the next; the last one has a viewer.
fn chain(hops: usize) -> Story {
    let story = Story::new(FOLDERS);
    let mut texts: Vec<String> = (0..hops).map(|n| format!("folder:{n} parent folder:{}", n + 1)).collect();
    texts.push(format!("folder:{hops} viewer user:anne"));
    story.write(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    story
}

#[test]
fn depth_of_tuplesets_is_25_hops() {
    assert_eq!(chain(25).check("folder:0 viewer user:anne"), Ok(true));
    let deeper = chain(26);
    assert!(too_deep(&deeper.check("folder:0 viewer user:anne")));
    assert_eq!(deeper.check("folder:1 viewer user:anne"), Ok(true));
    // Nothing names bob, so that no may be said without a walk.
    let answer = deeper.check("folder:0 viewer user:bob");
    assert!(answer == Ok(false) || too_deep(&answer), "{answer:?}");
}

#[test]
fn depth_of_usersets_is_25_hops() {
    for (hops, fits) in [(25, true), (26, false)] {
        let story = Story::new(GROUPS);
        let mut texts: Vec<String> = (0..hops).map(|n| format!("group:{n} member group:{}#member", n + 1)).collect();
        texts.push(format!("group:{hops} member user:anne"));
        story.write(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let answer = story.check("group:0 member user:anne");
        assert!(if fits { answer == Ok(true) } else { too_deep(&answer) }, "{hops} hops: {answer:?}");
    }
}

/// OpenFGA's `TestListUsersDepthExceeded`: one hop less than Check.
#[test]
fn depth_of_list_users_is_24_hops() {
    let story = chain(25);
    assert!(too_deep(&story.users("folder:0", "viewer", "user")));
    assert_eq!(story.users("folder:1", "viewer", "user").unwrap(), ["user:anne"]);
}

#[test]
fn depth_of_list_objects_has_no_bound() {
    assert_eq!(chain(60).objects("user:anne", "viewer", "folder").unwrap().len(), 61);
}

#[test]
fn depth_does_not_count_computed_relations() {
    let mut text = String::from("type user\ntype document\n  relations\n    define r0: [user]\n");
    for n in 1..=60 {
        text.push_str(&format!("    define r{n}: r{}\n", n - 1));
    }
    let story = Story::new(&text);
    story.write(&["document:1 r0 user:anne"]).unwrap();
    story.yes("document:1 r60 user:anne");
    story.no("document:1 r60 user:bob");
}

#[test]
fn cycle_under_union_is_false() {
    let story = Story::new(GROUPS);
    story.write(&["group:a member group:b#member", "group:b member group:a#member"]).unwrap();
    story.no("group:a member user:anne");
    story.write(&["group:b member user:anne"]).unwrap();
    story.yes("group:a member user:anne");
}

#[test]
fn cycle_under_intersection_is_false() {
    let story = Story::new(
        "type user\ntype group\n  relations\n    define active: [user]\n    define member: [user, group#member] and active\n",
    );
    let cycle = ["group:a member group:b#member", "group:b member group:a#member"];
    story.write(&[cycle[0], cycle[1], "group:a active user:anne", "group:b active user:anne"]).unwrap();
    story.no("group:a member user:anne");
    story.write(&["group:a member user:anne"]).unwrap();
    story.yes("group:b member user:anne");
}

#[test]
fn cycle_in_the_base_of_an_exclusion_is_false() {
    let story = Story::new(
        "type user\ntype group\n  relations\n    define banned: [user]\n    define member: [user, group#member] but not banned\n",
    );
    story.write(&["group:a member group:b#member", "group:b member group:a#member"]).unwrap();
    story.no("group:a member user:anne");
    story.write(&["group:b member user:anne", "group:b member user:bob", "group:a banned user:bob"]).unwrap();
    story.yes("group:a member user:anne");
    story.no("group:a member user:bob");
}

#[test]
fn cycle_in_the_subtract_of_an_exclusion_denies() {
    let story = Story::new(
        "type user\ntype document\n  relations\n    define blocked: [user, document#viewer]\n    \
         define viewer: [user] but not blocked\n",
    );
    story.write(&["document:1 viewer user:anne", "document:1 blocked document:1#viewer"]).unwrap();
    story.no("document:1 viewer user:anne");
}

#[test]
fn union_allows_over_an_error() {
    let story = Story::new(CONDITIONS);
    story.write(&["document:1 reader user:anne with small", "document:1 blocked user:anne"]).unwrap();
    story.yes("document:1 either user:anne");
    story.write(&["document:2 reader user:anne with small"]).unwrap();
    assert!(is_condition(&story.check("document:2 either user:anne").unwrap_err()));
}

#[test]
fn intersection_denies_over_an_error_and_an_error_beats_true() {
    let story = Story::new(CONDITIONS);
    story.write(&["document:1 reader user:anne with small"]).unwrap();
    assert_eq!(story.check("document:1 both user:anne"), Ok(false));
    story.write(&["document:1 blocked user:anne"]).unwrap();
    assert!(is_condition(&story.check("document:1 both user:anne").unwrap_err()));
}

#[test]
fn exclusion_is_decided_by_either_side_over_an_error() {
    let story = Story::new(CONDITIONS);
    story.write(&["document:1 blocked user:anne with small"]).unwrap();
    assert_eq!(story.check("document:1 viewer user:anne"), Ok(false), "the base is false");
    story.write(&["document:2 reader user:anne with small", "document:2 blocked user:anne"]).unwrap();
    assert_eq!(story.check("document:2 viewer user:anne"), Ok(false), "the subtract is true");
    story.write(&["document:3 reader user:anne", "document:3 blocked user:anne with small"]).unwrap();
    assert!(is_condition(&story.check("document:3 viewer user:anne").unwrap_err()));
}

#[test]
fn wildcard_grants_objects_of_its_type_only() {
    let story = Story::new(
        "type user\ntype employee\ntype group\n  relations\n    define member: [user]\ntype document\n  relations\n    \
         define viewer: [user, user:*, employee, group#member]\n",
    );
    story.write(&["document:1 viewer user:*", "document:2 viewer user:anne"]).unwrap();
    story.yes("document:1 viewer user:anne");
    story.yes("document:1 viewer user:never-seen");
    story.no("document:1 viewer employee:anne");
    story.no("document:1 viewer group:x#member");
    story.yes("document:1 viewer user:*");
    story.no("document:2 viewer user:*");
}

#[test]
fn wildcard_with_exclusion() {
    let story = Story::new(
        "type user\ntype document\n  relations\n    define blocked: [user]\n    define viewer: [user:*] but not blocked\n",
    );
    story.write(&["document:1 viewer user:*", "document:1 blocked user:bob"]).unwrap();
    story.yes("document:1 viewer user:anne");
    assert_eq!(story.check("document:1 viewer user:bob"), Ok(false));
    assert!(story.objects("user:bob", "viewer", "document").unwrap().is_empty());
    assert_eq!(story.users("document:1", "viewer", "user").unwrap(), ["user:*"]);
}

#[test]
fn userset_as_subject() {
    let story = Story::new(
        "type user\ntype group\n  relations\n    define member: [user, group#member]\ntype document\n  relations\n    \
         define blocked: [user]\n    define viewer: [group#member] but not blocked\n",
    );
    let tuples = ["document:1 viewer group:x#member", "group:x member group:y#member", "group:y member user:bob"];
    story.write(&[tuples[0], tuples[1], tuples[2], "document:1 blocked user:bob"]).unwrap();
    story.yes("document:1 viewer group:x#member");
    story.yes("document:1 viewer group:y#member");
    story.no("document:1 viewer group:z#member");
    story.no("document:1 viewer user:bob");
}

#[test]
fn self_defining_is_true() {
    let story = Story::new(
        "type user\ntype document\n  relations\n    define blocked: [user]\n    define viewer: [user] but not blocked\n",
    );
    story.yes("document:1 viewer document:1#viewer");
    story.no("document:1 viewer document:2#viewer");
    story.no("document:1 blocked document:1#viewer");
}

#[test]
fn alias_usersets_follow_computed_relations() {
    let story = Story::new(
        "type user\ntype group\n  relations\n    define member: [user]\n    define all_members: member\ntype document\n  \
         relations\n    define viewer: [group#all_members]\n    define editor: [group#member]\n",
    );
    story.write(&["document:1 viewer group:x#all_members", "document:1 editor group:x#member"]).unwrap();
    story.yes("document:1 viewer group:x#member");
    story.yes("document:1 editor group:x#member");
    story.no("document:1 editor group:x#all_members");
}

#[test]
fn unknown_types_and_relations_are_errors() {
    let story = Story::new(GROUPS);
    let check = |text| story.check(text).unwrap_err();
    assert!(matches!(check("group:a member robot:r2"), QuestionError::SubjectInvalid { .. }));
    assert!(matches!(check("group:a member group:b#owner"), QuestionError::SubjectInvalid { .. }));
    assert!(matches!(check("team:a member user:anne"), QuestionError::TypeNotFound { .. }));
    assert!(matches!(check("group:a owner user:anne"), QuestionError::RelationNotFound { .. }));
    let listed = story.objects("robot:r2", "member", "group").unwrap_err();
    assert!(matches!(listed, QuestionError::SubjectInvalid { .. }), "{listed}");
    assert!(matches!(story.objects("user:a", "member", "team"), Err(QuestionError::TypeNotFound { .. })));
    assert!(matches!(story.users("group:a", "member", "robot"), Err(QuestionError::TypeNotFound { .. })));
    assert!(matches!(story.users("group:a", "owner", "user"), Err(QuestionError::RelationNotFound { .. })));
}

#[test]
fn contextual_tuples_count_like_stored_ones_and_are_not_kept() {
    let mut story = Story::new(GROUPS);
    story.write(&["group:a member group:b#member"]).unwrap();
    story.given = vec![tuple("group:b member user:anne"), tuple("group:a member group:b#member")];
    story.yes("group:a member user:anne");
    story.yes("group:b member user:anne");
    let query = ExpandQuery { object: ObjectRef::parse("group:b").unwrap(), relation: "member", given: story.added() };
    let node = story.view().expand(&query).unwrap();
    assert_eq!(node, ExpandNode::Users(vec![tuple("group:b member user:anne").subject]));
    story.given.clear();
    story.no("group:a member user:anne");
    assert_eq!(story.database.stats().stores.iter().map(|s| s.tuples).sum::<u64>(), 1);
}

#[test]
fn contextual_tuples_are_validated_like_writes() {
    let mut story = Story::new(CONDITIONS);
    for wrong in [
        "document:1 viewer user:anne",
        "document:1 reader document:1",
        "document:1 nothing user:anne",
        "robot:1 reader user:anne",
        "document:1 reader user:anne with large",
        "document:1 reader user:anne with small {\"y\": 1}",
        "document:1 reader user:anne with small {\"x\": \"many\"}",
    ] {
        story.given = vec![tuple(wrong)];
        let error = story.check("document:1 reader user:anne").unwrap_err();
        assert!(matches!(error, QuestionError::ContextualTuple { .. }), "{wrong}: {error}");
        assert!(matches!(story.objects("user:anne", "reader", "document"), Err(QuestionError::ContextualTuple { .. })));
        assert!(matches!(story.users("document:1", "reader", "user"), Err(QuestionError::ContextualTuple { .. })));
        assert!(matches!(story.write(&[wrong]), Err(WriteError::Tuple { .. })), "{wrong}");
    }
}

#[test]
fn contextual_tuple_beside_a_stored_one_with_the_same_key() {
    let mut story = Story::new(CONDITIONS);
    story.write(&["document:1 reader user:anne with small {\"x\": 9}", "document:2 reader user:anne"]).unwrap();
    story.no("document:1 reader user:anne");
    story.given = vec![tuple("document:1 reader user:anne")];
    story.yes("document:1 reader user:anne");
    story.given = vec![tuple("document:1 reader user:anne with small {\"x\": 1}")];
    story.yes("document:1 reader user:anne");
    story.given = vec![tuple("document:2 reader user:anne with small {\"x\": 9}")];
    story.yes("document:2 reader user:anne");
    story.no("document:1 reader user:anne");
}

#[test]
fn objects_that_only_contextual_tuples_name_are_listed() {
    let mut story = Story::new(FOLDERS);
    story.write(&["folder:root viewer user:anne"]).unwrap();
    story.given = vec![tuple("folder:new parent folder:root"), tuple("folder:own viewer user:bob")];
    story.yes("folder:new viewer user:anne");
    story.yes("folder:own viewer user:bob");
    assert_eq!(story.objects("user:anne", "viewer", "folder").unwrap().len(), 2);
}

#[test]
fn subject_type_without_a_path_is_denied_and_lists_are_empty() {
    let story = Story::new(
        "type user\ntype robot\ntype document\n  relations\n    define viewer: [user]\n    define robots: [robot]\n",
    );
    story.write(&["document:1 viewer user:anne"]).unwrap();
    story.no("document:1 viewer robot:r2");
    assert!(story.users("document:1", "viewer", "robot").unwrap().is_empty());
}

#[test]
fn list_users_filters_by_kind() {
    let story = Story::new(
        "type user\ntype group\n  relations\n    define member: [user, user:*]\ntype document\n  relations\n    \
         define viewer: [user, user:*, group, group#member]\n",
    );
    let tuples = ["document:1 viewer group:x#member", "document:1 viewer group:y", "document:1 viewer user:bob"];
    story.write(&[tuples[0], tuples[1], tuples[2], "group:x member user:anne"]).unwrap();
    assert_eq!(story.users("document:1", "viewer", "user").unwrap(), ["user:anne", "user:bob"]);
    assert_eq!(story.users("document:1", "viewer", "group#member").unwrap(), ["group:x#member"]);
    assert_eq!(story.users("document:1", "viewer", "group").unwrap(), ["group:y"]);
    story.write(&["group:x member user:*"]).unwrap();
    let everybody = story.users("document:1", "viewer", "user").unwrap();
    assert!(everybody.contains(&"user:*".into()), "{everybody:?}");
    assert_eq!(story.users("document:1", "viewer", "group#member").unwrap(), ["group:x#member"]);
    assert_eq!(story.users("document:1", "viewer", "document#viewer").unwrap(), ["document:1#viewer"]);
}

#[test]
fn tupleset_of_mixed_types_skips_those_without_the_relation() {
    let story = Story::new(
        "type user\ntype organization\n  relations\n    define owner: [user]\ntype folder\n  relations\n    \
         define viewer: [user]\ntype document\n  relations\n    define parent: [folder, organization]\n    \
         define viewer: viewer from parent\n",
    );
    let tuples = ["document:1 parent organization:o", "document:1 parent folder:f", "folder:f viewer user:anne"];
    story.write(&[tuples[0], tuples[1], tuples[2], "organization:o owner user:bob"]).unwrap();
    story.yes("document:1 viewer user:anne");
    story.no("document:1 viewer user:bob");
}

#[test]
fn tupleset_takes_plain_objects_only() {
    for restriction in ["folder:*", "folder#viewer"] {
        let text = format!(
            "type user\ntype folder\n  relations\n    define viewer: [user]\ntype document\n  relations\n    \
             define parent: [folder, {restriction}]\n    define viewer: viewer from parent\n"
        );
        let fault = model(&text).validate().unwrap_err();
        assert!(fault.reason.contains("parent"), "{}", fault.reason);
    }
}

#[test]
fn objects_need_not_exist() {
    let story = Story::new(GROUPS);
    story.no("group:never-named member user:never-named");
}

#[test]
fn tuples_that_the_newest_model_does_not_allow_are_ignored_but_read() {
    let mut story = Story::new(
        "type user\ntype group\n  relations\n    define member: [user]\ntype document\n  relations\n    \
         define viewer: [user, user:*, group#member, user with small]\ncondition small(x: int) {\n  x < 5\n}\n",
    );
    let viewers = ["document:1 viewer user:*", "document:2 viewer group:x#member", "document:3 viewer user:anne"];
    story.write(&[viewers[0], viewers[1], viewers[2]]).unwrap();
    story.write(&["group:x member user:anne", "document:4 viewer user:anne with small {\"x\": 1}"]).unwrap();
    assert_eq!(story.objects("user:anne", "viewer", "document").unwrap().len(), 4);
    story.model(
        "type user\ntype group\n  relations\n    define member: [user]\ntype document\n  relations\n    \
         define viewer: [user]\n",
    );
    for gone in ["document:1", "document:2", "document:4"] {
        story.no(&format!("{gone} viewer user:anne"));
    }
    story.yes("document:3 viewer user:anne");
    let page = story.database.read(story.store, &ReadQuery { page_size: 50, ..ReadQuery::default() }).unwrap();
    assert_eq!(page.value.tuples.len(), 5);
    story.delete(&["document:1 viewer user:*"]).unwrap();
}

#[test]
fn write_is_seen_by_the_next_question() {
    let story = Story::new(GROUPS);
    for _ in 0..50 {
        story.write(&["group:a member user:anne"]).unwrap();
        story.yes("group:a member user:anne");
        story.delete(&["group:a member user:anne"]).unwrap();
        story.no("group:a member user:anne");
    }
}

#[test]
fn context_of_the_tuple_wins_over_the_request() {
    let mut story = Story::new(CONDITIONS);
    story
        .write(&["document:1 reader user:anne with small {\"x\": 9}", "document:2 reader user:anne with small"])
        .unwrap();
    story.context.insert("x".into(), 1.into());
    story.context.insert("unknown".into(), "ignored".into());
    story.no("document:1 reader user:anne");
    story.yes("document:2 reader user:anne");
}

#[test]
fn missing_or_wrong_parameter_is_an_error_in_every_question() {
    let mut story = Story::new(
        "type user\ntype document\n  relations\n    define viewer: [user with either]\n\
         condition either(x: int, y: bool) {\n  x < 5 || y\n}\n",
    );
    story.write(&["document:1 viewer user:anne with either {\"x\": 1}"]).unwrap();
    // `x < 5` is true already, but `y` is declared and nobody gave it.
    for wrong in [None, Some(serde_json::json!("not a boolean"))] {
        story.context.clear();
        story.context.extend(wrong.map(|value| ("y".into(), value)));
        assert!(is_condition(&story.check("document:1 viewer user:anne").unwrap_err()));
        assert!(is_condition(&story.objects("user:anne", "viewer", "document").unwrap_err()));
        assert!(is_condition(&story.users("document:1", "viewer", "user").unwrap_err()));
    }
    story.context.insert("y".into(), false.into());
    story.yes("document:1 viewer user:anne");
}

#[test]
fn expand_neither_evaluates_nor_shows_conditions() {
    let story = Story::new(CONDITIONS);
    story.write(&["document:1 reader user:anne with small {\"x\": 9}", "document:1 reader user:bob"]).unwrap();
    let object = ObjectRef::parse("document:1").unwrap();
    let query = ExpandQuery { object, relation: "reader", given: Given::default() };
    let subjects = ["user:anne", "user:bob"].map(|s| SubjectRef::parse(s).unwrap().to_owned());
    assert_eq!(story.view().expand(&query).unwrap(), ExpandNode::Users(subjects.into()));
}
