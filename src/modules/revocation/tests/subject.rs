//! What is read as a subject identifier, and what is not.

use super::*;
use crate::identity::ErrorCode;
use proptest::prelude::*;

fn rule(body: &str) -> &'static str {
    let refusal = SubjectId::read_body(body.as_bytes()).unwrap_err();
    assert_eq!(refusal.error, ErrorCode::InvalidRequest);
    refusal.rule
}

#[test]
fn each_format_is_read_and_written() {
    for (body, id) in [
        (
            r#"{"sub_id":{"format":"iss_sub","iss":"https://idp.example","sub":"s-1"}}"#,
            SubjectId::IssSub { iss: IDP.into(), sub: "s-1".into() },
        ),
        (
            r#"{"sub_id":{"format":"email","email":"sarah@example.com"}}"#,
            SubjectId::Email { email: "sarah@example.com".into() },
        ),
        (r#"{"sub_id":{"format":"opaque","id":"sarah"}}"#, SubjectId::Opaque { id: "sarah".into() }),
    ] {
        assert_eq!(SubjectId::read_body(body.as_bytes()), Ok(id.clone()));
        assert_eq!(id.body(), body);
    }
}

#[test]
fn what_is_no_identifier_is_refused() {
    let long = format!(r#"{{"sub_id":{{"format":"opaque","id":"{}"}}}}"#, "a".repeat(1_025));
    let longer = format!(r#"{{"sub_id":{{"format":"opaque","id":"a"}}}}{}"#, " ".repeat(SUBJECT_BODY_BYTES_MAX));
    for (body, expected) in [
        ("", "revocation.body"),
        ("null", "revocation.body"),
        ("[]", "revocation.body"),
        ("{}", "revocation.body"),
        (r#"{"sub_id":"sarah"}"#, "revocation.body"),
        (r#"{"subject":{"format":"opaque","id":"sarah"}}"#, "revocation.body"),
        (r#"{"sub_id":{"format":"opaque","id":"sarah"},"more":1}"#, "revocation.body"),
        (r#"{"sub_id":{"format":"opaque","id":"a"},"sub_id":{"format":"opaque","id":"b"}}"#, "revocation.body"),
        (r#"{"sub_id":{"format":"opaque","id":"a","id":"b"}}"#, "revocation.body"),
        (longer.as_str(), "revocation.body"),
        (r#"{"sub_id":{}}"#, "revocation.format"),
        (r#"{"sub_id":{"format":7}}"#, "revocation.format"),
        (r#"{"sub_id":{"format":"phone_number","phone_number":"+12065550100"}}"#, "revocation.format"),
        (r#"{"sub_id":{"format":"account","uri":"acct:sarah@example.com"}}"#, "revocation.format"),
        (r#"{"sub_id":{"format":"aliases","identifiers":[{"format":"opaque","id":"sarah"}]}}"#, "revocation.format"),
        (r#"{"sub_id":{"format":"complex","user":{"format":"opaque","id":"sarah"}}}"#, "revocation.format"),
        (r#"{"sub_id":{"format":"opaque"}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"opaque","id":""}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"opaque","id":" "}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"opaque","id":1}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"opaque","id":"a\u0000b"}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"opaque","id":"sarah","iss":"x"}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"iss_sub","iss":"https://idp.example"}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"iss_sub","sub":"s-1"}}"#, "revocation.sub_id"),
        (r#"{"sub_id":{"format":"email","id":"sarah"}}"#, "revocation.sub_id"),
        (long.as_str(), "revocation.sub_id"),
    ] {
        assert_eq!(rule(body), expected, "{body}");
    }
}

proptest! {
    /// Any bytes are read or refused; what is read is written so that it reads the same.
    #[test]
    fn any_body_is_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        format in "iss_sub|email|opaque|[a-z_]{0,8}",
        members in proptest::collection::btree_map("iss|sub|email|id|[a-z]{0,4}", ".{0,20}", 0..4),
    ) {
        let mut id = json!(members);
        id.as_object_mut().unwrap().insert("format".into(), format.into());
        let made = json!({ "sub_id": id }).to_string();
        for body in [bytes.as_slice(), made.as_bytes()] {
            if let Ok(read) = SubjectId::read_body(body) {
                prop_assert_eq!(SubjectId::read_body(read.body().as_bytes()), Ok(read));
            }
        }
    }
}
