//! An approval is used at most once, whatever runs beside it, and nothing that comes of it is more than what was allowed.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Runs something on several threads at once, and counts how often it was allowed.
fn race<T: Send>(threads: usize, act: impl Fn() -> Answer<T> + Sync) -> usize {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&act)).collect();
        running.into_iter().filter(|_| true).map(|thread| thread.join().unwrap()).filter(Result::is_ok).count()
    })
}

#[test]
fn of_many_that_fetch_or_decide_or_use_at_once_one_does() {
    let world = World::new();
    for _ in 0..8 {
        let asked = world.propose(&["5000"]).unwrap();
        let choice = all_of(&world.record(&asked));
        let session = world.sign_in("sarah");
        assert_eq!(race(4, || world.decide(&session, &asked, &choice)), 1);
        assert_eq!(race(4, || world.fetch(&asked)), 1);
        let id = id_of(&asked);
        let spent = race(4, || {
            let env = world.env();
            let mut change = world.tenant.change(&env);
            let whose = ("agent:sales", Some("sarah"));
            world.approvals.spend(&world.tenant, &mut change, &id, whose, &detail("5000"), &env)?;
            change.commit()
        });
        assert_eq!(spent, 1);
    }
    let tokens = world.events().iter().filter(|event| event.kind().name() == "token.issued").count();
    assert_eq!(tokens, 8);
}

#[test]
fn what_was_allowed_is_of_no_use_once_who_allowed_it_is_gone_or_signed_out() {
    for (kill, expected) in [
        ("suspend boss", "approval.inactive"),
        ("sign out boss", "approval.signed_out"),
        ("delete boss", "approval.user"),
        ("suspend sarah", "approval.inactive"),
        ("sign out sarah", "approval.signed_out"),
    ] {
        let world = World::new();
        let asked = world.propose(&["450000"]).unwrap();
        let choice = all_of(&world.record(&asked));
        world.decide(&world.sign_in("boss"), &asked, &choice).unwrap();
        world.fetch(&asked).unwrap();
        let (what, who) = kill.rsplit_once(' ').unwrap();
        match what {
            "suspend" => {
                world.tenant.suspend(&format!("user:{who}"), true, None, &world.env()).unwrap();
            }
            "delete" => world.tenant.delete_user(who, &world.env()).unwrap(),
            _ => world.tenant.sign_out_everywhere(who, "test", &world.env()).unwrap(),
        }
        let env = world.env();
        let mut change = world.tenant.change(&env);
        let whose = ("agent:sales", Some("sarah"));
        let spent = world.approvals.spend(&world.tenant, &mut change, &id_of(&asked), whose, &detail("450000"), &env);
        assert_eq!(rule(spent), expected, "{kill}");
    }
}

#[test]
fn a_detail_is_used_once_for_exactly_what_it_says() {
    let mut world = World::new();
    let asked = world.propose(&["5000", "6000", "6000"]).unwrap();
    let id = id_of(&asked);
    let spend = |world: &World, id: &str, whose: (&str, Option<&str>), what: &Value| {
        let env = world.env();
        let mut change = world.tenant.change(&env);
        let spent = world.approvals.spend(&world.tenant, &mut change, id, whose, what, &env);
        rule(spent.and_then(|_| change.commit()))
    };
    let ours = ("agent:sales", Some("sarah"));
    assert_eq!(spend(&world, &id, ours, &detail("5000")), "approval.open");
    let sarah = world.sign_in("sarah");
    let two = Choice::Approve { scopes: vec!["openid".into()], details: vec![0, 1] };
    world.decide(&sarah, &asked, &two).unwrap();
    let mut other = detail("5000");
    other["recipients"] = json!(["someone@else.example"]);
    for (id, whose, what, expected) in [
        (id.as_str(), ours, &other, "approval.other"),
        (&id, ("agent:other", Some("sarah")), &detail("5000"), "approval.other"),
        (&id, ("agent:sales", Some("eve")), &detail("5000"), "approval.other"),
        ("01J00000000000000000000000", ours, &detail("5000"), "approval.unknown"),
        ("x", ours, &detail("5000"), "approval.unknown"),
        (&id, ours, &detail("5000"), "allowed"),
        (&id, ours, &detail("5000"), "approval.used"),
        // Two were asked for that are alike, and one of them allowed.
        (&id, ours, &detail("6000"), "allowed"),
        (&id, ours, &detail("6000"), "approval.used"),
    ] {
        assert_eq!(spend(&world, id, whose, what), expected);
    }
    assert_eq!(world.newest("approval.decided").get_reason(), Some("used"));
    // The order of members does not matter; any other value does.
    let fresh = world.propose(&["7000"]).unwrap();
    world.approve(&fresh).unwrap();
    let turned: Value = serde_json::from_str(
        r#"{"currency": "USD", "recipients": ["cto@acme.example", "cfo@acme.example"], "amount": "7000", "customer": "Acme Corp", "type": "proposal"}"#,
    )
    .unwrap();
    world.now += 299;
    assert_eq!(spend(&world, &id_of(&fresh), ours, &turned), "allowed");
    let late = world.propose(&["7000"]).unwrap();
    world.approve(&late).unwrap();
    world.now += 300;
    assert_eq!(spend(&world, &id_of(&late), ours, &turned), "approval.over");
}

#[test]
fn what_a_token_allows_is_used_up_where_it_is_done() {
    let world = World::new();
    let asked = world.propose(&["5000"]).unwrap();
    world.approve(&asked).unwrap();
    let token = world.fetch(&asked).unwrap().access_token;
    let examined = world.tenant.examine(&token, crate::identity::TokenKind::Access, Some(MAIL), &world.env()).unwrap();
    let spend =
        |what: &Value| world.approvals.spend_granted(&world.tenant, &examined.grant, what, &world.env()).unwrap();
    assert_eq!(spend(&detail("5001")), None);
    assert_eq!(spend(&detail("5000")), Some(id_of(&asked)));
    assert_eq!(spend(&detail("5000")), None, "the action is complete");
}

/// What somebody tries.
#[derive(Clone, Debug)]
enum Try {
    Ask { amounts: Vec<u8>, scopes: u8 },
    Approve { request: usize, details: u8, scopes: u8, who: usize },
    Deny { request: usize },
    Fetch { request: usize, client: usize },
    Spend { request: usize, amount: u8 },
    Wait(u64),
    Expire,
}

const SCOPES: [&str; 4] = ["openid", "email:send", "drive:write", "crm:update"];

fn bits(bits: u8, all: &[&str]) -> Vec<String> {
    all.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, text)| (*text).to_owned()).collect()
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let request = 0_usize..4;
    let one = prop_oneof![
        3 => (prop::collection::vec(1_u8..4, 0..3), any::<u8>()).prop_map(|(amounts, scopes)| Try::Ask { amounts, scopes }),
        4 => (request.clone(), any::<u8>(), any::<u8>(), 0_usize..3)
            .prop_map(|(request, details, scopes, who)| Try::Approve { request, details, scopes, who }),
        1 => request.clone().prop_map(|request| Try::Deny { request }),
        4 => (request.clone(), 0_usize..2).prop_map(|(request, client)| Try::Fetch { request, client }),
        4 => (request, 1_u8..4).prop_map(|(request, amount)| Try::Spend { request, amount }),
        1 => (1_u64..200).prop_map(Try::Wait),
        1 => Just(Try::Expire),
    ];
    prop::collection::vec(one, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whoever tries what in which order: a token is of a request that the person allowed, fetched once by its client, and has
    /// nothing that was not both asked for and allowed; each detail that was allowed is used at most once.
    #[test]
    fn nothing_is_more_than_what_was_allowed(tries in tries()) {
        let mut world = World::new();
        let amount = |n: u8| format!("{n}000");
        let mut asked: Vec<Asked> = Vec::new();
        let mut allowed: BTreeMap<usize, (Vec<String>, Vec<Value>)> = BTreeMap::new();
        let (mut fetched, mut used) = (BTreeMap::<usize, u32>::new(), BTreeMap::<usize, Vec<Value>>::new());
        for one in tries {
            match one {
                Try::Ask { amounts, scopes } => {
                    let mut scopes = bits(scopes | 1, &SCOPES);
                    scopes.sort_unstable();
                    let details: Vec<Value> = amounts.iter().map(|n| detail(&amount(*n))).collect();
                    let text = json!(details).to_string();
                    let details = if details.is_empty() { "" } else { &text };
                    match world.ask(&[("scope", &scopes.join(" ")), ("authorization_details", details)]) {
                        Ok(one) => asked.push(one),
                        Err(refusal) => prop_assert!(refusal.rule.starts_with("rate.asks"), "{}", refusal),
                    }
                }
                Try::Approve { request, details, scopes, who } => {
                    let Some(of) = asked.get(request) else { continue };
                    let record = world.record(of);
                    let choice = Choice::Approve {
                        scopes: bits(scopes, &SCOPES),
                        details: (0..record.details.len()).filter(|at| details >> at & 1 == 1).collect(),
                    };
                    let session = world.sign_in(["sarah", "boss", "eve"][who]);
                    if let Ok(done) = world.decide(&session, of, &choice) {
                        prop_assert_eq!(who, 0);
                        prop_assert!(!allowed.contains_key(&request), "it was decided before");
                        let State::Approved(approved) = done.state else { panic!("not approved?") };
                        prop_assert!(approved.scopes.iter().all(|scope| record.scopes.contains(scope)));
                        allowed.insert(request, (approved.scopes, approved.details.into_iter().map(|d| d.value).collect()));
                    }
                }
                Try::Deny { request } => {
                    let Some(of) = asked.get(request) else { continue };
                    let before = allowed.contains_key(&request);
                    let denied = world.decide(&world.sign_in("sarah"), of, &Choice::Deny).is_ok();
                    prop_assert!(!(before && denied), "what was allowed is not denied after");
                }
                Try::Fetch { request, client } => {
                    let Some(of) = asked.get(request) else { continue };
                    if let Ok(tokens) = world.fetch_as(["sales", "other"][client], &of.auth_req_id) {
                        prop_assert_eq!(client, 0);
                        let (scopes, details) = &allowed[&request];
                        let access = claims(&tokens.access_token);
                        let got = access.get("scope").and_then(Value::as_str).unwrap_or_default();
                        prop_assert!(got.split(' ').filter(|s| !s.is_empty()).all(|s| scopes.iter().any(|has| has == s)));
                        prop_assert!(tokens.authorization_details.iter().all(|d| details.contains(d)));
                        *fetched.entry(request).or_default() += 1;
                    }
                }
                Try::Spend { request, amount: n } => {
                    let Some(of) = asked.get(request) else { continue };
                    let what = detail(&amount(n));
                    let env = world.env();
                    let mut change = world.tenant.change(&env);
                    let spent = world.approvals
                        .spend(&world.tenant, &mut change, &id_of(of), ("agent:sales", Some("sarah")), &what, &env)
                        .and_then(|_| change.commit());
                    if spent.is_ok() {
                        used.entry(request).or_default().push(what);
                    }
                }
                Try::Wait(seconds) => world.now += seconds,
                Try::Expire => while world.approvals.expire(&world.tenant, &world.env()).unwrap() > 0 {},
            }
        }
        prop_assert!(fetched.values().all(|times| *times == 1));
        for (request, used) in used {
            let mut left = allowed[&request].1.clone();
            for what in used {
                let at = left.iter().position(|detail| *detail == what);
                prop_assert!(at.is_some(), "used more often than it was allowed");
                left.remove(at.unwrap());
            }
        }
    }
}
