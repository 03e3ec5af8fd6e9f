//! Whom a `login_hint` names: a name to sign in with, or a subject identifier (RFC 9493) in JSON. Pure.

use crate::identity::{Answer, ErrorCode, Refusal, check_id};
use serde::Deserialize;

/// See the file's head: one person, or nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoginHint {
    /// Who signs in with this name.
    Login(String),
    /// Who has this id.
    Id(String),
    /// Somebody of another issuer, or of an id that nobody can have.
    Nobody,
}

/// A subject identifier. One with a member twice, or with one of another format, could name two people.
#[derive(Deserialize)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
enum Identifier {
    /// RFC 9493 3.2.4, as Auth0 sends it.
    IssSub { iss: String, sub: String },
    /// RFC 9493 3.2.5
    Opaque { id: String },
    /// RFC 9493 3.2.2
    Email { email: String },
}

impl LoginHint {
    /// Reads a hint for the people of an issuer.
    ///
    /// # Errors
    /// It begins as JSON, and is no subject identifier.
    pub(super) fn read(hint: &str, issuer: &str) -> Answer<LoginHint> {
        if !hint.trim_start().starts_with('{') {
            return Ok(LoginHint::Login(hint.to_owned()));
        }
        let identifier = serde_json::from_str(hint).map_err(|_| {
            let text = "`login_hint` begins as JSON and is no subject identifier (RFC 9493)";
            Refusal::new(ErrorCode::InvalidRequest, "hint.form", text)
        })?;
        // No key is made of what cannot be an id.
        let known = |id: String| if check_id(&id).is_ok() { LoginHint::Id(id) } else { LoginHint::Nobody };
        Ok(match identifier {
            // Auth0's SDKs write the issuer with a slash at the end, whatever it has.
            Identifier::IssSub { iss, .. } if iss.trim_end_matches('/') != issuer.trim_end_matches('/') => {
                LoginHint::Nobody
            }
            Identifier::IssSub { sub, .. } => known(sub),
            Identifier::Opaque { id } => known(id),
            Identifier::Email { email } => LoginHint::Login(email),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_one_person_or_nobody() {
        let read = |hint: &str| LoginHint::read(hint, "https://id.example/acme").map_err(|refusal| refusal.rule);
        assert_eq!(read("sarah@example.com"), Ok(LoginHint::Login("sarah@example.com".into())));
        for (hint, named) in [
            (r#"{"format":"iss_sub","iss":"https://id.example/acme/","sub":"sarah"}"#, LoginHint::Id("sarah".into())),
            (r#" {"sub":"sarah","iss":"https://id.example/acme","format":"iss_sub"}"#, LoginHint::Id("sarah".into())),
            (r#"{"format":"iss_sub","iss":"https://id.example/other","sub":"sarah"}"#, LoginHint::Nobody),
            (r#"{"format":"opaque","id":"sarah"}"#, LoginHint::Id("sarah".into())),
            (r#"{"format":"opaque","id":"user:sarah"}"#, LoginHint::Nobody),
            (r#"{"format":"email","email":"s@example.com"}"#, LoginHint::Login("s@example.com".into())),
        ] {
            assert_eq!(read(hint), Ok(named), "{hint}");
        }
        for bad in [
            "{",
            "{}",
            r#"{"format":"opaque"}"#,
            r#"{"format":"opaque","id":7}"#,
            r#"{"format":"phone_number","phone_number":"+1"}"#,
            // These could name two people: readers differ in whom they take.
            r#"{"format":"opaque","id":"sarah","id":"bob"}"#,
            r#"{"format":"email","format":"opaque","id":"bob","email":"s@example.com"}"#,
            r#"{"format":"email","email":"s@example.com","id":"bob"}"#,
        ] {
            assert_eq!(read(bad), Err("hint.form"), "{bad}");
        }
    }
}
