//! Telling, with places that answer in every way.

use super::*;
use crate::identity::{Outcome, SigningAlgorithm, verify_with};
use crate::modules::revocation::tell::{Told, judged};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Places that answer as they are told to, and what they were sent.
pub(super) struct Places {
    answer: fn(&str) -> Posted,
    pub(super) sent: Mutex<Vec<(String, String, String)>>,
}

impl Places {
    pub(super) fn new(answer: fn(&str) -> Posted) -> Places {
        Places { answer, sent: Mutex::default() }
    }

    /// How often each was told.
    fn told(&self) -> BTreeMap<String, usize> {
        let mut told = BTreeMap::new();
        for (url, ..) in self.sent.lock().unwrap().iter() {
            *told.entry(url.trim_start_matches("https://").to_owned()).or_default() += 1;
        }
        told
    }
}

impl Posts for Places {
    fn post(&self, message: &Message) -> Posted {
        let header = message.authorization.as_ref().map(|header| header.as_str()).unwrap_or_default();
        let token = header.strip_prefix("Bearer ").unwrap_or(header).to_owned();
        assert!(matches!(message.media, "application/json" | "application/secevent+jwt"));
        self.sent.lock().unwrap().push((message.url.clone(), token, message.body.clone()));
        (self.answer)(&message.url)
    }

    fn clock(&self) -> Duration {
        Duration::ZERO
    }
}

pub(super) fn place(id: &str) -> Place {
    Place {
        id: id.into(),
        endpoint: format!("https://{id}"),
        subject: SubjectFormat::IssSub,
        client_id: None,
        issuer: None,
        alg: SigningAlgorithm::Es256,
        signals: None,
        created_at: 0,
    }
}

pub(super) fn put(world: &World, place: &Place) {
    put_place(&world.app, place, &env(0)).unwrap();
}

pub(super) fn receipts(world: &World) -> Vec<(String, Outcome, Option<String>)> {
    let read = |event: Event| {
        let place = event.details()["place"].clone();
        (place, event.outcome(), event.get_reason().map(str::to_owned))
    };
    let mut all: Vec<_> = world.events(EventKind::RevocationTold).into_iter().map(read).collect();
    all.sort();
    all
}

#[test]
fn each_place_is_told_in_its_words_by_a_token_for_it_alone() {
    let world = World::new();
    put(&world, &Place { client_id: Some("acme".into()), ..place("iss") });
    put(&world, &Place { subject: SubjectFormat::Email, alg: SigningAlgorithm::Rs256, ..place("mail") });
    put(&world, &Place { subject: SubjectFormat::Opaque, ..place("opaque") });
    world.app.sign_out_everywhere("sarah", "owner", &env(0)).unwrap();
    let places = Places::new(|_| Posted::Answered(204));
    assert_eq!(super::super::tell(&world.app, &places, &env(1)), Ok(3));
    let sent = places.sent.lock().unwrap().clone();
    for (id, body, alg) in [
        ("iss", json!({"format": "iss_sub", "iss": APP, "sub": "sarah"}), "ES256"),
        ("mail", json!({"format": "email", "email": "sarah@example.com"}), "RS256"),
        ("opaque", json!({"format": "opaque", "id": "sarah"}), "ES256"),
    ] {
        let (url, token, told) = sent.iter().find(|(url, ..)| *url == format!("https://{id}")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(told).unwrap(), json!({ "sub_id": body }));
        let verified = verify_with(token, &world.app.jwks(&env(1)).unwrap()).unwrap();
        assert_eq!((&verified.header["typ"], &verified.header["alg"]), (&json!(REVOCATION_TYP), &json!(alg)));
        assert_eq!((verified.text("iss"), verified.text("aud")), (Some(APP), Some(url.as_str())));
        assert_eq!(verified.text("sub"), (id == "iss").then_some("acme"));
        let (iat, exp) = (verified.time("iat").unwrap(), verified.time("exp").unwrap());
        assert!(exp > iat && exp - iat <= LIFE_MAX_S && verified.text("jti").is_some_and(|jti| jti.len() > 20));
    }
    assert_eq!(receipts(&world), ["iss", "mail", "opaque"].map(|id| (id.to_owned(), Outcome::Done, None)));
    assert_eq!(super::super::tell(&world.app, &places, &env(2)), Ok(0), "each once");
}

#[test]
fn whoever_ends_all_that_a_person_has_places_are_told() {
    let world = World::new();
    put(&world, &Place { subject: SubjectFormat::Email, ..place("mail") });
    let places = Places::new(|_| Posted::Answered(204));
    let tell = |act: &dyn Fn()| {
        act();
        super::super::tell(&world.app, &places, &env(1)).unwrap()
    };
    let env = &env(1);
    let suspend = |who: &str, suspended| {
        world.app.suspend(who, suspended, None, env).unwrap();
    };
    assert_eq!(tell(&|| world.app.sign_out_everywhere("bob", "owner", env).unwrap()), 1);
    assert_eq!(tell(&|| suspend("user:bob", true)), 1);
    assert_eq!(tell(&|| suspend("user:bob", false)), 0);
    assert_eq!(tell(&|| world.app.delete_user("bob", env).unwrap()), 1, "by the address that was theirs");
    assert_eq!(tell(&|| suspend("app:crm", true)), 0);
    let deactivate = || {
        let (held, mut change) = (world.app.user("olga").unwrap(), world.app.change(env));
        let (logins, claims) = (["olga@example.com"], held.claims.clone());
        world.app.put_user(&mut change, &held, (&logins, claims), Some("scim"), env).unwrap();
        change.commit().unwrap();
    };
    assert_eq!(tell(&deactivate), 1, "as a directory does");
    let (session, _) = world
        .app
        .start_session(
            "olga",
            Authentication { at: START as u64, acr: "aal1".into(), amr: vec![] },
            Browser::default(),
            env,
        )
        .unwrap();
    assert_eq!(tell(&|| world.app.end_session("olga", &session.id, "owner", env).unwrap()), 0, "one session of many");
    // An address that nobody has shown to be theirs is not told.
    assert_eq!(tell(&|| world.app.sign_out_everywhere("eve", "owner", env).unwrap()), 0);
    let (_, outcome, reason) = receipts(&world).into_iter().find(|(_, outcome, _)| *outcome != Outcome::Done).unwrap();
    assert_eq!((outcome, reason.as_deref()), (Outcome::Failed, Some("revocation.no_email")));
}

#[test]
fn a_place_that_does_not_answer_is_told_again_and_holds_up_nobody() {
    let world = World::new();
    for id in ["good", "dead", "gone"] {
        put(&world, &place(id));
    }
    for user in ["sarah", "bob", "olga"] {
        world.app.sign_out_everywhere(user, "owner", &env(0)).unwrap();
    }
    let answer = |url: &str| match url {
        "https://good" => Posted::Answered(204),
        "https://dead" => Posted::Failed,
        _ => Posted::Answered(404),
    };
    let places = Places::new(answer);
    assert_eq!(super::super::tell(&world.app, &places, &env(0)), Ok(3));
    let told =
        |list: [(&str, usize); 3]| list.map(|(id, n)| (id.to_owned(), n)).into_iter().collect::<BTreeMap<_, _>>();
    assert_eq!(places.told(), told([("good", 3), ("gone", 3), ("dead", 1)]), "the dead one once in a round");
    for now in 1..10 {
        assert_eq!(super::super::tell(&world.app, &places, &env(now)), Ok(0));
    }
    assert_eq!(places.told()["dead"], 1, "it has time to come back");
    super::super::tell(&world.app, &places, &env(10)).unwrap();
    assert_eq!(places.told()["dead"], 2);
    // It is back, and knows of all.
    let places = Places::new(|_| Posted::Answered(200));
    assert_eq!(super::super::tell(&world.app, &places, &env(100)), Ok(3));
    assert_eq!(places.told().len(), 1);
    let of = |id: &str| receipts(&world).into_iter().filter(|(place, ..)| place == id).collect::<Vec<_>>();
    assert!(of("dead").iter().all(|(_, outcome, _)| *outcome == Outcome::Done) && of("dead").len() == 3);
    let unknown = ("gone".to_owned(), Outcome::Refused, Some("revocation.unknown_there".to_owned()));
    assert_eq!(of("gone"), vec![unknown; 3]);
}

#[test]
fn a_place_that_never_answers_is_given_up_and_that_is_noted() {
    let world = World::new();
    put(&world, &place("dead"));
    world.app.sign_out_everywhere("sarah", "owner", &env(0)).unwrap();
    let places = Places::new(|_| Posted::Failed);
    for now in (0..30_000).step_by(10) {
        super::super::tell(&world.app, &places, &env(now)).unwrap();
    }
    assert_eq!(places.told()["dead"], TRIES_MAX as usize);
    assert_eq!(receipts(&world), [("dead".to_owned(), Outcome::Failed, Some("revocation.unreachable".to_owned()))]);
    // What nobody could tell for a day is too late.
    world.app.sign_out_everywhere("bob", "owner", &env(30_000)).unwrap();
    super::super::tell(&world.app, &places, &env(30_000)).unwrap();
    super::super::tell(&world.app, &places, &env(30_000 + 24 * 3_600)).unwrap();
    assert_eq!(places.told()["dead"], TRIES_MAX as usize + 1);
    assert!(receipts(&world).iter().any(|(.., why)| why.as_deref() == Some("revocation.too_late")));
}

#[test]
fn what_an_issuer_asked_for_goes_on_to_others_and_not_back() {
    use crate::modules::revocation::receive::{Asker, revoke};
    let world = World::new();
    put(&world, &Place { issuer: Some(IDP.into()), ..place("idp") });
    put(&world, &place("rest"));
    let now = START;
    let claims = json!({
        "iss": IDP, "aud": ENDPOINT, "iat": now, "exp": now + 60, "jti": "j", "bailiwick_cause": "c-1",
    });
    let token = world.idp.sign(REVOCATION_TYP, &claims, &env(0)).unwrap();
    let issuers = Providers { world: &world, clients: vec![], names: vec![Naming::Linked] };
    let said = crate::modules::revocation::asker::judge(&world.app, &issuers, &token, ENDPOINT, &env(0)).unwrap();
    let subject = SubjectId::IssSub { iss: IDP.into(), sub: "s-1".into() };
    revoke(&world.app, &Asker::Issuer(Box::new(said)), &subject, &env(0)).unwrap();
    let places = Places::new(|_| Posted::Answered(204));
    assert_eq!(super::super::tell(&world.app, &places, &env(1)), Ok(1));
    let (url, token, _) = places.sent.lock().unwrap()[0].clone();
    let verified = verify_with(&token, &world.app.jwks(&env(1)).unwrap()).unwrap();
    assert_eq!((url.as_str(), verified.text("bailiwick_cause")), ("https://rest", Some("c-1")), "by the same name");
    // What began here is told to all, and remembered so that it does not come round.
    world.app.sign_out_everywhere("sarah", "owner", &env(2)).unwrap();
    assert_eq!(super::super::tell(&world.app, &places, &env(3)), Ok(2));
    let (_, token, _) = places.sent.lock().unwrap().last().unwrap().clone();
    let cause =
        verify_with(&token, &world.app.jwks(&env(3)).unwrap()).unwrap().text("bailiwick_cause").unwrap().to_owned();
    let claims = json!({
        "iss": IDP, "aud": ENDPOINT, "iat": now, "exp": now + 60, "jti": "j2", "bailiwick_cause": cause,
    });
    let token = world.idp.sign(REVOCATION_TYP, &claims, &env(0)).unwrap();
    let said = crate::modules::revocation::asker::judge(&world.app, &issuers, &token, ENDPOINT, &env(3)).unwrap();
    let given = world.tokens("sarah");
    revoke(&world.app, &Asker::Issuer(Box::new(said)), &subject, &env(3)).unwrap();
    assert!(world.lives(&given));
    assert_eq!(super::super::tell(&world.app, &places, &env(4)), Ok(0));
}

#[test]
fn what_a_place_was_to_be_told_is_not_told_to_another_of_its_id() {
    let world = World::new();
    put(&world, &place("p"));
    world.app.sign_out_everywhere("sarah", "owner", &env(0)).unwrap();
    let silent = Places::new(|_| Posted::Failed);
    assert_eq!(super::super::tell(&world.app, &silent, &env(1)), Ok(0));
    // Changed, it is the same place: it is told where it is now.
    put_place(&world.app, &Place { endpoint: "https://moved".into(), ..place("p") }, &env(2)).unwrap();
    assert_eq!(super::super::tell(&world.app, &silent, &env(20)), Ok(0));
    assert_eq!(silent.told(), BTreeMap::from([("moved".to_owned(), 1), ("p".to_owned(), 1)]));
    remove_place(&world.app, "p", false, &env(21)).unwrap();
    put_place(&world.app, &Place { endpoint: "https://other".into(), ..place("p") }, &env(22)).unwrap();
    let other = Places::new(|_| Posted::Answered(204));
    assert_eq!(super::super::tell(&world.app, &other, &env(1_000)), Ok(0));
    assert!(other.told().is_empty());
    world.app.sign_out_everywhere("sarah", "owner", &env(1_001)).unwrap();
    assert_eq!(super::super::tell(&world.app, &other, &env(1_002)), Ok(1), "what comes after it is told");
}

#[test]
fn without_places_nothing_is_kept() {
    let world = World::new();
    world.app.sign_out_everywhere("sarah", "owner", &env(0)).unwrap();
    assert_eq!(world.app.signed_out().unwrap().len(), 1);
    super::super::tell(&world.app, &Places::new(|_| Posted::Failed), &env(0)).unwrap();
    assert!(world.app.signed_out().unwrap().is_empty());
    put(&world, &place("late"));
    let places = Places::new(|_| Posted::Answered(204));
    assert_eq!(super::super::tell(&world.app, &places, &env(1)), Ok(0));
}

#[test]
fn places_are_as_they_must_be() {
    let world = World::new();
    for (place, rule) in [
        (Place { endpoint: "http://app.example/x".into(), ..place("a") }, "revocation.endpoint"),
        (Place { endpoint: "https://app.example/x#y".into(), ..place("a") }, "revocation.endpoint"),
        (Place { endpoint: "https://me@app.example/".into(), ..place("a") }, "revocation.endpoint"),
        (Place { endpoint: "app".into(), ..place("a") }, "revocation.endpoint"),
        (Place { endpoint: format!("https://a.example/{}", "x".repeat(2_048)), ..place("a") }, "revocation.endpoint"),
        (Place { client_id: Some(String::new()), ..place("a") }, "revocation.client_id"),
        (Place { issuer: Some("a\nb".into()), ..place("a") }, "revocation.issuer"),
        (place("a b"), "id.form"),
    ] {
        assert_eq!(put_place(&world.app, &place, &env(0)).unwrap_err().rule, rule, "{place:?}");
    }
    for n in 0..PLACES_MAX {
        put(&world, &place(&format!("p{n}")));
    }
    assert_eq!(put_place(&world.app, &place("more"), &env(0)).unwrap_err().rule, "revocation.places");
    put(&world, &Place { endpoint: "https://moved".into(), ..place("p0") });
    assert_eq!(places(&world.app).unwrap()[0].endpoint, "https://moved");
    remove_place(&world.app, "p0", false, &env(0)).unwrap();
    assert_eq!(remove_place(&world.app, "p0", false, &env(0)).unwrap_err().rule, "not_found");
    let actions: Vec<_> = world.events(EventKind::PolicyChanged);
    assert_eq!(actions.last().unwrap().get_action(), Some("revocation_place.remove"));
}

#[test]
fn answers_mean_what_they_say() {
    for (posted, told) in [
        (Posted::Answered(200), Told::Done),
        (Posted::Answered(202), Told::Done),
        (Posted::Answered(204), Told::Done),
        (Posted::Answered(302), Told::Never("revocation.redirect")),
        (Posted::Answered(400), Told::Never("revocation.refused")),
        (Posted::Answered(401), Told::Later("revocation.busy")),
        (Posted::Answered(403), Told::Never("revocation.refused")),
        (Posted::Answered(404), Told::Unknown),
        (Posted::Answered(422), Told::Never("revocation.refused")),
        (Posted::Answered(429), Told::Later("revocation.busy")),
        (Posted::Answered(503), Told::Later("revocation.busy")),
        (Posted::Refused, Told::Never("revocation.address")),
        (Posted::Failed, Told::Later("revocation.unreachable")),
    ] {
        assert_eq!(judged(posted), told, "{posted:?}");
    }
}
