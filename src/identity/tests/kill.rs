//! Whatever link of a chain breaks, what hangs on it is void at its next use; nothing is ever wider than what it came from.

use super::*;
use proptest::prelude::*;

/// Breaks a link; afterwards every token must be refused, by this rule.
#[track_caller]
fn kills(expected: &str, act: impl FnOnce(&mut World)) {
    let mut world = World::new();
    let tokens = world.tokens("sales", "sarah", "openid read offline_access");
    let (access, id) = (tokens.access_token, tokens.id_token.unwrap());
    let refresh = tokens.refresh_token.unwrap();
    let examine = |world: &World, token: &str, kind| world.tenant.examine(token, kind, None, &world.env());
    for (token, kind) in [(&access, TokenKind::Access), (&id, TokenKind::Id), (&refresh, TokenKind::Refresh)] {
        examine(&world, token, kind).unwrap_or_else(|refusal| panic!("{refusal}"));
    }
    act(&mut world);
    for (token, kind) in [(&access, TokenKind::Access), (&id, TokenKind::Id), (&refresh, TokenKind::Refresh)] {
        let refusal = examine(&world, token, kind).unwrap_err();
        assert_eq!((refusal.rule, refusal.error), (expected, ErrorCode::InvalidToken), "{kind:?}");
    }
    let form = form(&[("refresh_token", &refresh)]);
    let caller = Caller {
        client: world.tenant.held::<Client>(&["sales"]).unwrap(),
        method: AuthMethod::ClientSecretBasic,
        jkt: None,
    };
    let refused = RefreshGrant.redeem(&world.tenant, &caller, &form, &world.env()).err().unwrap();
    assert_eq!((refused.rule, refused.error), (expected, ErrorCode::InvalidGrant));
}

fn leaf(world: &World) -> Held<Grant> {
    world.tenant.grants_of("sarah", "sales", None).unwrap().pop().unwrap()
}

#[test]
fn every_link_kills() {
    kills("session.over", |world| {
        let session = leaf(world).session.clone().unwrap();
        world.tenant.end_session("sarah", &session, "owner", &world.env()).unwrap();
    });
    kills("user.signed_out", |world| {
        world.tenant.suspend("user:sarah", true, None, &world.env()).unwrap();
    });
    kills("user.inactive", |world| {
        let mut change = world.tenant.change(&world.env());
        change.relate(&world.tenant.object(), "suspended", "user:sarah"); // the tuple alone
        change.commit().unwrap();
    });
    kills("agent.inactive", |world| {
        world.tenant.suspend("agent:sales", true, None, &world.env()).unwrap();
    });
    kills("agent.inactive", |world| {
        world.tenant.suspend_all(true, &world.env()).unwrap();
    });
    kills("grant.revoked", |world| {
        world.tenant.revoke_grant(&leaf(world).id, "test", &world.env()).unwrap();
    });
    kills("consent.withdrawn", |world| world.tenant.withdraw_consent("sarah", "sales", &world.env()).unwrap());
    kills("consent.withdrawn", |world| {
        world.tenant.withdraw_consent("sarah", "sales", &world.env()).unwrap();
        world.code("sales", "sarah", &[]); // given anew, it is another consent
    });
    kills("user.signed_out", |world| world.tenant.sign_out_everywhere("sarah", "test", &world.env()).unwrap());
    kills("user.signed_out", |world| world.tenant.delete_user("sarah", &world.env()).unwrap());
    kills("agent.inactive", |world| world.tenant.delete_client("sales", &world.env()).unwrap());
}

/// A grant that is made from another, as an exchange makes it.
fn child(world: &World, parent: &Examined, narrowed: Narrowed) -> Grant {
    let env = world.env();
    let client = world.tenant.client(&parent.grant.client).unwrap();
    let grant = parent.child("test", &client, parent.grant.actors.clone(), narrowed, &env);
    let mut change = world.tenant.change(&env);
    parent.chain().expect(&mut change);
    world.tenant.add_grant(&mut change, &grant, &env).unwrap();
    change.commit().unwrap();
    grant
}

fn token_of(world: &World, grant: &Grant) -> Answer<TokenAnswer> {
    let env = world.env();
    let mut change = world.tenant.change(&env);
    let answer = world.tenant.issue(&mut change, &world.caller(&grant.client), grant, &Wanted::default(), &env)?;
    change.commit()?;
    Ok(answer)
}

#[test]
fn what_is_passed_on_dies_with_what_it_came_from_and_is_not_passed_on_for_ever() {
    let world = World::new();
    let root = world.tokens("sales", "sarah", "read write");
    let mut examined = world.examine(&root.access_token).unwrap();
    let first = examined.grant.id.clone();
    let mut last = root.access_token;
    for depth in 1.. {
        let Ok(narrowed) = examined.narrow(&Wanted::default()) else {
            assert_eq!(depth, GRANT_DEPTH_MAX);
            break;
        };
        let grant = child(&world, &examined, narrowed);
        last = token_of(&world, &grant).unwrap().access_token;
        examined = world.examine(&last).unwrap();
        assert_eq!(examined.chain().grants().len(), depth + 1);
    }
    assert_eq!(rule(examined.narrow(&Wanted::default())), "grant.depth");
    world.tenant.revoke_grant(&first, "test", &world.env()).unwrap();
    assert_eq!(rule(world.examine(&last)), "grant.revoked");
}

#[test]
fn a_change_that_rests_on_a_chain_fails_when_a_link_broke_meanwhile() {
    let world = World::new();
    let root = world.tokens("sales", "sarah", "read");
    let examined = world.examine(&root.access_token).unwrap();
    world.tenant.revoke_grant(&examined.grant.id, "test", &world.env()).unwrap();
    let env = world.env();
    let mut change = world.tenant.change(&env);
    examined.chain().expect(&mut change);
    assert!(change.commit().unwrap_err().is_stale());
}

#[test]
fn a_token_is_what_it_is_and_nothing_else() {
    let mut world = World::new();
    let tokens = world.tokens("crm", "sarah", "openid read offline_access");
    let (access, id, refresh) = (tokens.access_token, tokens.id_token.unwrap(), tokens.refresh_token.unwrap());
    let examine = |world: &World, token: &str, kind| world.tenant.examine(token, kind, None, &world.env());
    assert_eq!(rule(examine(&world, &access, TokenKind::Id)), "token.typ");
    assert_eq!(rule(examine(&world, &id, TokenKind::Access)), "token.typ");
    assert_eq!(rule(examine(&world, &refresh, TokenKind::Access)), "token.form");
    assert_eq!(rule(examine(&world, &access, TokenKind::Refresh)), "refresh.form");
    let signed = world.tenant.sign("logout+jwt", &json!({"iss": world.tenant.issuer()}), &world.env()).unwrap();
    assert_eq!(rule(examine(&world, &signed, TokenKind::Access)), "token.typ");
    // Another signature, another header, another body, none at all.
    let parts: Vec<&str> = access.split('.').collect();
    let other = world.tokens("sales", "sarah", "read").access_token;
    let others: Vec<&str> = other.split('.').collect();
    let none = encode(br#"{"alg":"none","typ":"at+jwt"}"#);
    let kid = unverified_header(&access).unwrap()["kid"].as_str().unwrap().to_owned();
    let hs = encode(json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}).to_string().as_bytes());
    let crit = encode(json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": ["b64"]}).to_string().as_bytes());
    for (token, expected) in [
        (format!("{}.{}.{}", parts[0], parts[1], others[2]), "token.signature"),
        (format!("{}.{}.{}", parts[0], others[1], parts[2]), "token.signature"),
        (format!("{}.{}.", parts[0], parts[1]), "token.signature"),
        (format!("{none}.{}.", parts[1]), "token.kid"),
        (format!("{hs}.{}.{}", parts[1], parts[2]), "token.signature"),
        (format!("{crit}.{}.{}", parts[1], parts[2]), "token.crit"),
        (format!("{}.{}", parts[0], parts[1]), "token.form"),
        (format!("{access}.x"), "token.form"),
        ("a".repeat(TOKEN_BYTES_MAX + 1), "token.form"),
        (String::new(), "token.form"),
    ] {
        assert_eq!(rule(examine(&world, &token, TokenKind::Access)), expected, "{token}");
    }
    let for_whom = |audience| world.tenant.examine(&access, TokenKind::Access, Some(audience), &world.env());
    for_whom(API).unwrap();
    for_whom(world.tenant.issuer()).unwrap();
    assert_eq!(rule(for_whom("https://other.example/")), "token.audience");
    let examined = world.examine(&access).unwrap();
    world.tenant.revoke_token(&examined, &world.env()).unwrap();
    assert_eq!(rule(world.examine(&access)), "token.revoked");
    world.refresh("crm", &refresh).unwrap();
    world.now += 600;
    assert_eq!(rule(examine(&world, &id, TokenKind::Id)), "token.expired");
}

#[test]
fn a_session_ends_by_its_times() {
    let mut world = World::new();
    let authentication = || Authentication { at: START, acr: "aal1".into(), amr: vec![] };
    let start = |world: &World| world.tenant.start_session("sarah", authentication(), Browser::default(), &world.env());
    let (_, cookie) = start(&world).unwrap();
    let find = |world: &World, cookie: &str| world.tenant.session_of_cookie(cookie, &world.env()).unwrap();
    for bad in ["", "x", "x.y", &cookie.replace('.', ""), &format!("{cookie}x")] {
        assert!(find(&world, bad).is_none(), "{bad}");
    }
    // Activity moves the one end and not the other.
    let settings = world.tenant.settings().clone();
    for _ in 0..12 {
        let held = find(&world, &cookie).unwrap();
        world.tenant.touch_session(&held, &world.env()).unwrap();
        world.now += settings.session_idle_s - 1;
    }
    assert!(find(&world, &cookie).is_some());
    world.now = START + settings.session_s;
    assert!(find(&world, &cookie).is_none());
    let (_, cookie) = start(&world).unwrap();
    world.now += settings.session_idle_s;
    assert!(find(&world, &cookie).is_none());
    // Who showed more has another cookie.
    let (session, cookie) = start(&world).unwrap();
    let held = find(&world, &cookie).unwrap();
    let (_, stronger) = world.tenant.authenticate_session(&held, authentication(), &world.env()).unwrap();
    assert!(find(&world, &cookie).is_none());
    assert_eq!(find(&world, &stronger).unwrap().id, session.id);
    assert_eq!(rule(world.tenant.end_session("other", &session.id, "x", &world.env())), "not_found");
    world.tenant.sign_out_everywhere("sarah", "test", &world.env()).unwrap();
    assert!(find(&world, &stronger).is_none());
    assert_eq!(world.tenant.sessions("sarah", None).unwrap().len(), 3);
    world.tenant.suspend("user:sarah", true, None, &world.env()).unwrap();
    assert_eq!(rule(start(&world)), "user.suspended");
}

#[test]
fn what_is_not_offline_ends_with_the_activity_of_its_session() {
    let mut world = World::new();
    let online = world.tokens("crm", "sarah", "openid read");
    let offline = world.tokens("crm", "sarah", "openid read offline_access");
    world.now += world.tenant.settings().session_idle_s;
    assert_eq!(rule(world.refresh("crm", &online.refresh_token.unwrap())), "session.over");
    let offline = world.refresh("crm", &offline.refresh_token.unwrap()).unwrap();
    world.now += world.tenant.settings().offline_s;
    assert_eq!(rule(world.refresh("crm", &offline.refresh_token.unwrap())), "grant.over");
}

const SCOPES: [&str; 4] = ["a", "b", "c", "d"];
const RESOURCES: [&str; 3] = ["https://1.example/", "https://2.example/", "https://3.example/"];

fn pick(list: &[&str], bits: u8) -> Vec<String> {
    list.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, item)| (*item).to_owned()).collect()
}

proptest! {
    /// No sequence of narrowings gives more than any step before it had.
    #[test]
    fn nothing_is_wider_than_what_it_came_from(
        start: (u8, u8, u8),
        steps in proptest::collection::vec(any::<(Option<u8>, Option<u8>, Option<u8>, Option<u32>)>(), 1..6),
    ) {
        let details = |bits: u8| pick(&SCOPES, bits).into_iter().map(|t| json!({"type": t})).collect::<Vec<_>>();
        let mut grant = Grant {
            id: String::new(),
            by: String::new(),
            subject: GrantSubject::Client,
            client: String::new(),
            client_kind: ClientKind::App,
            actors: vec![],
            scopes: pick(&SCOPES, start.0),
            resources: pick(&RESOURCES, start.1),
            details: details(start.2),
            details_allowed: false,
            authentication: None,
            nonce: None,
            created_at: 0,
            expires_at: 1_000_000_000,
            parent: None,
            parent_token: None,
            session: None,
            offline: false,
            consent: None,
            through: Vec::new(),
            epoch: 0,
            jkt: None,
            x5t: None,
            refresh: None,
            revoked_at: None,
        };
        for (scopes, resources, detail, until) in steps {
            let wanted = Wanted {
                scopes: scopes.map(|bits| pick(&SCOPES, bits)),
                resources: resources.map(|bits| pick(&RESOURCES, bits)),
                details: detail.map(details),
                until: until.map(u64::from),
            };
            let part = |wants: &Option<Vec<String>>, has: &[String]| {
                wants.as_ref().is_none_or(|wants| wants.iter().all(|w| has.contains(w)))
            };
            let fits = part(&wanted.scopes, &grant.scopes) && part(&wanted.resources, &grant.resources)
                && wanted.details.as_ref().is_none_or(|wants| wants.iter().all(|w| grant.details.contains(w)));
            let narrowed = narrow(&grant, &wanted);
            prop_assert_eq!(narrowed.is_ok(), fits);
            let Ok(narrowed) = narrowed else { continue };
            prop_assert!(narrowed.scopes.iter().all(|s| grant.scopes.contains(s)));
            prop_assert!(narrowed.resources.iter().all(|r| grant.resources.contains(r)));
            prop_assert!(narrowed.details.iter().all(|d| grant.details.contains(d)));
            prop_assert!(narrowed.until <= grant.expires_at);
            grant.scopes = narrowed.scopes;
            grant.resources = narrowed.resources;
            grant.details = narrowed.details;
            grant.expires_at = narrowed.until;
        }
    }
}

/// Whatever is shown as a token, it is refused and nothing panics; a token in which a letter is another is no token.
#[test]
#[expect(clippy::string_slice, reason = "a test fails loudly")]
fn what_is_damaged_or_made_up_is_refused() {
    let world = World::new();
    let tokens = world.tokens("crm", "sarah", "openid read offline_access");
    let (access, refresh) = (tokens.access_token, tokens.refresh_token.unwrap());
    let kinds = [TokenKind::Access, TokenKind::Id, TokenKind::Refresh];
    proptest!(|(which: bool, at: proptest::sample::Index, letter in "[A-Za-z0-9_.-]", made_up in ".{0,200}")| {
        let token = if which { &access } else { &refresh };
        let at = at.index(token.len());
        let damaged = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
        for kind in kinds {
            for text in [&damaged, &made_up] {
                // The last letter of a signature has bits that say nothing: all but one of its spellings are refused.
                let examined = world.tenant.examine(text, kind, None, &world.env());
                prop_assert!(examined.is_err() || text == token);
            }
        }
        let proof = Proved { method: "POST", url: "https://id.example/acme/token", token: None };
        prop_assert!(world.tenant.check_proof(&made_up, &proof, &world.env()).is_err());
        prop_assert!(world.tenant.session_of_cookie(&made_up, &world.env()).unwrap().is_none());
        prop_assert!(world.tenant.request(&made_up, &world.env()).is_err());
        prop_assert!(world.tenant.client(&made_up).is_err());
    });
}

/// Any parameters are answered, with tokens to nobody.
#[test]
fn any_parameters_are_answered() {
    let world = World::new();
    const NAMES: [&str; 15] = [
        "client_id",
        "client_secret",
        "code",
        "code_verifier",
        "redirect_uri",
        "scope",
        "resource",
        "request_uri",
        "authorization_details",
        "prompt",
        "max_age",
        "client_assertion",
        "client_assertion_type",
        "refresh_token",
        "state",
    ];
    const VALUES: [&str; 10] =
        ["crm", "sales", CALLBACK, "openid", API, "", JWT_BEARER, "[{\"type\":\"payment\"}]", "none", "0"];
    let pair = (
        proptest::sample::select(&NAMES[..]),
        prop_oneof![proptest::sample::select(&VALUES[..]).prop_map(str::to_owned), ".{0,40}",],
    );
    proptest!(|(pairs in proptest::collection::vec(pair, 0..12), header in ".{0,60}")| {
        let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let Ok(form) = Form::parse(&text) else { return Ok(()) };
        prop_assert!(world.tenant.take_request(&form, &world.env()).is_err(), "there is no challenge");
        prop_assert!(world.tenant.authenticate_client(Some(&header), &form, &NoKeys, &NoUses, &world.env()).is_err());
        let caller = world.caller("crm");
        prop_assert!(CodeGrant.redeem(&world.tenant, &caller, &form, &world.env()).is_err());
        prop_assert!(RefreshGrant.redeem(&world.tenant, &caller, &form, &world.env()).is_err());
        prop_assert!(world.tenant.push_request(&caller, &form, &world.env()).is_err());
    });
}
