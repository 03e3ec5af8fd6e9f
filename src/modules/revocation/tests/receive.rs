//! Who is believed, about whom, and what is dead afterwards.

use super::*;
use crate::identity::{ErrorCode, Outcome};
use crate::modules::revocation::asker::{self, Said};
use crate::modules::revocation::receive::{Asker, CANNOT, revoke};
use proptest::prelude::*;

fn claims(more: &Value) -> Value {
    let now = START;
    let mut claims = json!({
        "iss": IDP, "sub": "acme", "aud": ENDPOINT, "iat": now, "nbf": now, "exp": now + 300, "jti": "j-1",
    });
    for (name, value) in more.as_object().unwrap() {
        let claims = claims.as_object_mut().unwrap();
        if value.is_null() {
            claims.shift_remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// What a provider shows, judged.
fn judged(world: &World, by: &Tenant, (typ, claims): (&str, Value)) -> Answer<Said> {
    let token = by.sign(typ, &claims, &env(0)).unwrap();
    let (clients, names) = (vec!["acme".to_owned()], vec![Naming::Linked]);
    asker::judge(&world.app, &Providers { world, clients, names }, &token, ENDPOINT, &env(0))
}

fn said(world: &World, by: &Tenant, more: &Value, names: &[Naming]) -> Asker {
    let token = by.sign(REVOCATION_TYP, &claims(more), &env(0)).unwrap();
    assert!(asker::is_of_issuer(&token));
    let issuers = Providers { world, clients: vec![], names: names.to_vec() };
    Asker::Issuer(Box::new(asker::judge(&world.app, &issuers, &token, ENDPOINT, &env(0)).unwrap()))
}

fn iss_sub(iss: &str, sub: &str) -> SubjectId {
    SubjectId::IssSub { iss: iss.into(), sub: sub.into() }
}

fn email(email: &str) -> SubjectId {
    SubjectId::Email { email: email.into() }
}

fn opaque(id: &str) -> SubjectId {
    SubjectId::Opaque { id: id.into() }
}

#[test]
fn what_an_issuer_shows_is_of_its_type_its_keys_and_this_endpoint_alone() {
    let world = World::new();
    let good = judged(&world, &world.idp, (REVOCATION_TYP, claims(&json!({"bailiwick_cause": "c-1"})))).unwrap();
    assert_eq!((good.trusted.issuer.as_str(), good.jti.as_str(), good.cause.as_deref()), (IDP, "j-1", Some("c-1")));
    judged(&world, &world.idp, (REVOCATION_TYP, claims(&json!({"aud": [ENDPOINT]})))).unwrap();
    let issuer = world.app.issuer();
    for (more, rule) in [
        (json!({"iss": null}), "revocation.issuer"),
        (json!({"iss": "https://nobody.example"}), "revocation.issuer"),
        (json!({"iss": format!("{IDP}/")}), "revocation.issuer"),
        (json!({"iss": issuer}), "revocation.issuer"),
        (json!({"iss": OTHER}), "token.kid"),
        (json!({"aud": null}), "revocation.audience"),
        (json!({"aud": issuer}), "revocation.audience"),
        (json!({"aud": format!("{ENDPOINT}/")}), "revocation.audience"),
        (json!({"aud": [ENDPOINT, issuer]}), "revocation.audience"),
        (json!({"aud": "https://app.example/other/global-token-revocation"}), "revocation.audience"),
        (json!({"exp": null}), "token.exp"),
        (json!({"exp": START - 31}), "token.expired"),
        (json!({"exp": START + 331}), "token.life"),
        (json!({"iat": START - 10}), "token.life"),
        (json!({"iat": START + 31}), "token.early"),
        (json!({"nbf": START + 31}), "token.early"),
        (json!({"iat": null}), "revocation.iat"),
        (json!({"sub": "another-client"}), "revocation.client"),
        (json!({"sub": null}), "revocation.client"),
        (json!({"jti": null}), "revocation.jti"),
        (json!({"jti": ""}), "revocation.jti"),
        (json!({"jti": "j".repeat(257)}), "revocation.jti"),
    ] {
        let refusal = judged(&world, &world.idp, (REVOCATION_TYP, claims(&more))).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), (rule, ErrorCode::InvalidToken), "{more}");
    }
    for typ in ["JWT", "at+jwt", "logout+jwt", "secevent+jwt", "oauth-id-jag+jwt"] {
        let refusal = judged(&world, &world.idp, (typ, claims(&json!({})))).unwrap_err();
        assert_eq!(refusal.rule, "revocation.typ", "{typ}");
        assert!(!asker::is_of_issuer(&world.idp.sign(typ, &claims(&json!({})), &env(0)).unwrap()));
    }
    // Signed by who is trusted too, but is another.
    let refusal = judged(&world, &world.other, (REVOCATION_TYP, claims(&json!({})))).unwrap_err();
    assert_eq!(refusal.rule, "token.kid");
}

#[test]
fn all_that_a_person_has_is_dead_at_its_next_use() {
    let world = World::new();
    let (given, others) = (world.tokens("sarah"), world.tokens("bob"));
    let (code, cookie) = world.code("sarah");
    assert!(world.app.session_of_cookie(&cookie, &env(0)).unwrap().is_some() && world.lives(&given));
    let by = said(&world, &world.idp, &json!({}), &[Naming::Linked]);
    revoke(&world.app, &by, &iss_sub(IDP, "s-1"), &env(0)).unwrap();
    for (token, kind) in [
        (&given.access_token, TokenKind::Access),
        (given.id_token.as_ref().unwrap(), TokenKind::Id),
        (given.refresh_token.as_ref().unwrap(), TokenKind::Refresh),
    ] {
        let refusal = world.app.examine(token, kind, None, &env(0)).unwrap_err();
        assert_eq!(refusal.rule, "user.signed_out", "{kind:?}");
    }
    assert_eq!(world.refresh(given.refresh_token.as_ref().unwrap()).err().unwrap().error, ErrorCode::InvalidGrant);
    assert!(world.app.session_of_cookie(&cookie, &env(0)).unwrap().is_none());
    assert_eq!(world.redeem(&code).err().unwrap().error, ErrorCode::InvalidGrant, "a code that was on its way");
    assert!(world.lives(&others), "nobody else's");
    // Who signs in again has what is given then.
    assert!(world.lives(&world.tokens("sarah")));
    let event = world.events(EventKind::RevocationAsked).pop().unwrap();
    assert_eq!(
        (event.outcome(), event.get_user(), event.get_resource(), event.get_token(), event.get_address()),
        (Outcome::Done, Some("user:sarah"), Some(IDP), Some("j-1"), Some("192.0.2.7"))
    );
    let event = world.events(EventKind::SessionEnded).pop().unwrap();
    assert_eq!((event.get_user(), event.get_reason()), (Some("user:sarah"), Some("revocation")));
}

#[test]
fn a_provider_revokes_what_its_own_people_have_and_nobody_elses() {
    let world = World::new();
    let given = ["sarah", "bob", "olga", "eve"].map(|user| world.tokens(user));
    let ask = |by: &Tenant, iss: &str, jti: &str, names: &[Naming], subject: SubjectId| {
        let by = said(&world, by, &json!({"iss": iss, "jti": jti}), names);
        revoke(&world.app, &by, &subject, &env(0)).map_err(|refusal| (refusal.rule, refusal.error))
    };
    let (linked, forbidden) = ([Naming::Linked], ("revocation.other_issuer", ErrorCode::AccessDenied));
    let (unknown, cannot) = (("not_found", ErrorCode::NotFound), (CANNOT, ErrorCode::InvalidRequest));
    for (names, subject, expected) in [
        (&linked[..], iss_sub(OTHER, "b-1"), forbidden),
        (&linked, iss_sub(APP, "sarah"), forbidden),
        (&linked, iss_sub(APP, "bob"), forbidden),
        (&linked, iss_sub("https://idp.example/", "s-1"), forbidden),
        (&[Naming::Same], iss_sub(APP, "bob"), forbidden),
        (&linked, iss_sub(IDP, "b-1"), unknown),
        (&linked, iss_sub(IDP, "sarah"), unknown),
        (&linked, opaque("b-1"), unknown),
        (&linked, opaque("bob"), unknown),
        (&linked, email("sarah@example.com"), cannot),
        (&[Naming::Same], email("sarah@example.com"), cannot),
        (&[Naming::Email], iss_sub(IDP, "s-1"), cannot),
        (&[Naming::Email], opaque("s-1"), cannot),
        (&[Naming::Email], email("nobody@example.com"), unknown),
        (&[Naming::Email], email("eve@example.com"), unknown),
        (&[Naming::Same], iss_sub(IDP, "s-1"), unknown),
        (&[Naming::Same], iss_sub(IDP, "a:b"), unknown),
        (&[], iss_sub(IDP, "s-1"), cannot),
    ] {
        assert_eq!(ask(&world.idp, IDP, "j-1", names, subject.clone()), Err(expected), "{names:?} {subject:?}");
    }
    assert!(given.iter().all(|tokens| world.lives(tokens)), "nothing was done");
    // And what each may say.
    for (jti, names, subject, user) in [
        ("j-1", &linked[..], iss_sub(IDP, "s-1"), 0),
        ("j-2", &[Naming::Same], iss_sub(IDP, "bob"), 1),
        ("j-3", &[Naming::Ours], iss_sub(APP, "olga"), 2),
    ] {
        assert!(world.lives(&given[user]));
        ask(&world.idp, IDP, jti, names, subject).unwrap();
        assert!(!world.lives(&given[user]));
    }
    let given = ["sarah", "bob", "olga"].map(|user| world.tokens(user));
    for (jti, names, subject, user) in [
        ("j-4", &linked[..], opaque("s-1"), 0),
        ("j-5", &[Naming::Ours], opaque("bob"), 1),
        ("j-6", &[Naming::Email], email("OLGA@example.com"), 2),
    ] {
        ask(&world.idp, IDP, jti, names, subject).unwrap();
        assert!(!world.lives(&given[user]));
    }
    // Who is linked no more is nobody's.
    for credential in world.app.credentials("sarah").unwrap() {
        world.app.remove_credential("sarah", &credential.id, &env(0)).unwrap();
    }
    assert_eq!(ask(&world.idp, IDP, "j-7", &linked, iss_sub(IDP, "s-1")), Err(unknown));
    world.app.delete_user("bob", &env(0)).unwrap();
    assert_eq!(ask(&world.other, OTHER, "j-8", &linked, iss_sub(OTHER, "b-1")), Err(unknown));
}

#[test]
fn an_administrator_names_whomever_and_is_in_the_event() {
    let world = World::new();
    let env = Env { by: Some("app:ops"), ..env(0) };
    for subject in [iss_sub(IDP, "s-1"), iss_sub(APP, "sarah"), opaque("sarah"), email("Sarah@Example.com")] {
        let given = world.tokens("sarah");
        revoke(&world.app, &Asker::Administrator, &subject, &env).unwrap();
        assert!(!world.lives(&given), "{subject:?}");
        let event = world.events(EventKind::RevocationAsked).pop().unwrap();
        assert_eq!(
            (event.get_user(), event.details().get("by").map(String::as_str)),
            (Some("user:sarah"), Some("app:ops"))
        );
        assert_eq!(event.details().get("format").map(String::as_str), Some(subject.format()));
    }
    for subject in [iss_sub(IDP, "x"), iss_sub(APP, "x"), opaque("x"), opaque("a\u{1}b"), email("x@example.com")] {
        let refusal = revoke(&world.app, &Asker::Administrator, &subject, &env).unwrap_err();
        assert_eq!(refusal.error, ErrorCode::NotFound, "{subject:?}");
    }
}

#[test]
fn what_is_shown_is_good_once_and_what_failed_changes_nothing() {
    let world = World::new();
    let by = said(&world, &world.idp, &json!({}), &[Naming::Linked]);
    revoke(&world.app, &by, &iss_sub(IDP, "s-1"), &env(0)).unwrap();
    let given = world.tokens("sarah");
    let before = world.events(EventKind::SessionEnded).len();
    let refusal = revoke(&world.app, &by, &iss_sub(IDP, "s-1"), &env(299)).unwrap_err();
    assert_eq!((refusal.rule, refusal.error), ("revocation.replayed", ErrorCode::InvalidToken));
    assert!(world.lives(&given));
    assert_eq!(world.events(EventKind::SessionEnded).len(), before);
    // The same name of another issuer is another.
    let by = said(&world, &world.other, &json!({"iss": OTHER}), &[Naming::Linked]);
    revoke(&world.app, &by, &iss_sub(OTHER, "b-1"), &env(0)).unwrap();
}

/// A crash loses all of it or nothing: the end of what a person has, both events, that the token was used, and the note for
/// others are one write.
#[test]
fn what_is_done_is_one_write() {
    let world = World::new();
    let write = || {
        let mut change = world.app.change(&env(0));
        change.event(&world.app.event(EventKind::AdminChanged, Outcome::Done, &env(0)));
        change.commit().unwrap().0
    };
    let by = said(&world, &world.idp, &json!({"bailiwick_cause": "c-1"}), &[Naming::Linked]);
    let before = write();
    revoke(&world.app, &by, &iss_sub(IDP, "s-1"), &env(0)).unwrap();
    assert_eq!(write(), before + 2);
    let count = |kind| world.events(kind).len();
    assert_eq!([EventKind::SessionEnded, EventKind::RevocationAsked].map(count), [1, 1]);
    assert_eq!(world.app.signed_out().unwrap().len(), 1);
}

#[test]
fn a_cause_is_acted_on_once_for_a_person() {
    let world = World::new();
    let ask = |jti: &str, cause: &str, user: &str| {
        let by = said(&world, &world.idp, &json!({"jti": jti, "bailiwick_cause": cause}), &[Naming::Same]);
        revoke(&world.app, &by, &iss_sub(IDP, user), &env(0)).unwrap();
    };
    ask("j-1", "c-1", "sarah");
    let (sarahs, bobs) = (world.tokens("sarah"), world.tokens("bob"));
    ask("j-2", "c-1", "sarah");
    assert!(world.lives(&sarahs), "it has come round: what was given since was not meant");
    ask("j-3", "c-1", "bob");
    assert!(!world.lives(&bobs));
    ask("j-4", "c-2", "sarah");
    assert!(!world.lives(&sarahs));
    let noted = world.app.signed_out().unwrap();
    let mut causes: Vec<_> = noted.iter().map(|held| (held.user.as_str(), held.cause.as_str())).collect();
    causes.sort_unstable();
    assert_eq!(causes, [("bob", "c-1"), ("sarah", "c-1"), ("sarah", "c-2")]);
    assert!(noted.iter().all(|held| held.from.as_deref() == Some(IDP)));
}

/// Whatever is shown as a token of an issuer, it is refused and nothing panics; so is one in which a letter is another.
#[test]
#[expect(clippy::string_slice, reason = "a test fails loudly")]
fn what_is_damaged_or_made_up_is_refused() {
    let world = World::new();
    let token = world.idp.sign(REVOCATION_TYP, &claims(&json!({})), &env(0)).unwrap();
    let issuers = Providers { world: &world, clients: vec![], names: vec![Naming::Linked] };
    let judge = |token: &str| asker::judge(&world.app, &issuers, token, ENDPOINT, &env(0));
    judge(&token).unwrap();
    proptest!(|(at: proptest::sample::Index, letter in "[A-Za-z0-9_.-]", made_up in ".{0,200}", part in "\\PC{0,80}")| {
        let at = at.index(token.len());
        let damaged = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
        let body = crate::identity::encode(part.as_bytes());
        let header = crate::identity::encode(json!({"typ": REVOCATION_TYP, "alg": "ES256"}).to_string().as_bytes());
        for text in [&damaged, &made_up, &format!("{header}.{body}.{body}"), &format!("{body}.{body}.{body}")] {
            let _ = asker::is_of_issuer(text);
            prop_assert!(judge(text).is_err() || text == &token);
        }
    });
}
