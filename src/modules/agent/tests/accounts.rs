//! Agents that are found by their accounts in other systems. REG-EX.

use super::*;
use crate::identity::EventKind;
use serde_json::json;

fn account(id: &str) -> Account {
    serde_json::from_value(json!({
        "account": id, "name": "Proposal bot", "scopes": ["crm.read", "crm.delete"], "created_by": "j.smith",
        "created_at": START - 9_000, "last_used_at": START - 60,
    }))
    .unwrap()
}

fn report(accounts: Vec<Account>) -> Report {
    Report { system: "crm.example".into(), accounts }
}

fn own() -> Own {
    let systems = vec!["crm".to_owned(), "crm.example".to_owned()];
    Own(vec![OwnAccount { connection: "connection:crm".into(), systems, account: "acme-vault".into() }])
}

/// Whose each of the accounts is.
fn whose(world: &World, accounts: Vec<Account>) -> Vec<(Whose, Option<String>)> {
    let found = world.registry().report(ANN, &report(accounts), &own(), &world.env()).unwrap();
    found.into_iter().map(|one| (one.whose, one.of)).collect()
}

/// The draft of an account that nobody knew.
fn draft(world: &World, id: &str) -> String {
    let found = whose(world, vec![account(id)]);
    let [(Whose::New, Some(draft))] = found.as_slice() else { panic!("{found:?}") };
    draft.strip_prefix("agent:").unwrap().to_owned()
}

#[test]
fn an_account_that_nobody_accounts_for_is_a_draft_with_its_evidence_and_never_two() {
    let mut world = World::new();
    let id = draft(&world, "svc-1");
    let shown = world.registry().get(&id).unwrap();
    assert_eq!((shown.stage, shown.record.profile.name.as_str()), (Stage::Discovered, "Proposal bot"));
    assert!(!world.allows(&format!("agent:{id} active tenant:acme")));
    let of = json!({"system": "crm.example", "account": "svc-1", "seen_at": START});
    assert_eq!(serde_json::to_value(&shown.record.origin).unwrap(), of);
    let seen = world.registry().accounts(&id).unwrap().pop().unwrap();
    assert_eq!(
        (seen.system.as_str(), &seen.account, seen.seen_by.as_str()),
        ("crm.example", &account("svc-1"), "user:ann")
    );
    let found = world.events().into_iter().find(|event| event.kind() == EventKind::FindingRaised).unwrap();
    let told = ["system", "account", "account_scopes", "account_made_by"].map(|name| found.details()[name].clone());
    assert_eq!(told, ["crm.example", "svc-1", "crm.read crm.delete", "j.smith"]);
    assert_eq!((found.get_user(), found.get_resource()), (Some("user:ann"), Some(format!("agent:{id}").as_str())));

    // Again, within the hour and after it; and twice in one report.
    let before = world.events().len();
    let waits = (Whose::Waiting, Some(format!("agent:{id}")));
    assert_eq!(whose(&world, vec![account("svc-1"), account("svc-1")]), [waits.clone(), waits.clone()]);
    world.now += USE_STEP_S;
    let used = Account { last_used_at: Some(START + 7), ..account("svc-1") };
    assert_eq!(whose(&world, vec![used.clone()]), std::slice::from_ref(&waits));
    let seen = world.registry().accounts(&id).unwrap().pop().unwrap();
    assert_eq!((seen.account, seen.first_seen_at, seen.seen_at), (used.clone(), START, world.now));
    assert_eq!(world.events().len(), before, "nothing happened but time");
    // That it may do more there is told.
    let wider = Account { scopes: vec!["crm.admin".into()], ..used };
    assert_eq!(whose(&world, vec![wider]), [waits]);
    let last = world.registry().history(&id, 0, 10).unwrap().pop().unwrap();
    assert_eq!((last.action.as_str(), last.by.as_str()), ("seen", "user:ann"));
    assert_eq!(
        (last.changes[0].from.as_deref(), last.changes[0].to.as_deref()),
        (Some("crm.read crm.delete"), Some("crm.admin"))
    );
    // What is called nothing is called what it is, as far as a name goes.
    let long = Account { account: format!("a{}", "é".repeat(127)), name: String::new(), ..Account::default() };
    let of = whose(&world, vec![long])[0].1.clone().unwrap();
    let named = world.registry().get(of.strip_prefix("agent:").unwrap()).unwrap().record.profile.name;
    assert_eq!(named, format!("a{}", "é".repeat(63)));
    // In another system it is another.
    let elsewhere = Report { system: "erp".into(), accounts: vec![account("svc-1")] };
    assert_eq!(world.registry().report(ANN, &elsewhere, &own(), &world.env()).unwrap()[0].whose, Whose::New);
}

#[test]
fn what_is_registered_is_known_by_its_client_its_document_and_its_connection() {
    let world = World::new();
    world.active("sales");
    let by_client = |client: &str| Account { client_id: Some(client.to_owned()), ..account("app-7") };
    let agent = |id: &str| Some(format!("agent:{id}"));
    assert_eq!(whose(&world, vec![by_client("sales")]), [(Whose::Agent, agent("sales"))]);
    let ours = Some("connection:crm".to_owned());
    assert_eq!(whose(&world, vec![by_client("acme-vault")]), [(Whose::Connection, ours.clone())]);
    assert_eq!(whose(&world, vec![account("acme-vault")]), [(Whose::Connection, ours)]);
    // What an account is called is nobody's id, and ours in one system is not ours in another.
    let named = Account { name: "sales".into(), ..account("sales") };
    assert_eq!(whose(&world, vec![named])[0].0, Whose::New);
    let erp = Report { system: "erp.example".into(), accounts: vec![account("acme-vault")] };
    assert_eq!(world.registry().report(ANN, &erp, &own(), &world.env()).unwrap()[0].whose, Whose::New);
    world.registry().retire(ANN, "sales", "over", &world.env()).unwrap();
    assert_eq!(whose(&world, vec![by_client("sales")]), [(Whose::Retired, agent("sales"))]);
}

#[test]
fn who_may_own_it_adopts_it_under_an_id_of_their_choice_and_the_account_goes_with_it() {
    let world = World::new();
    let (registry, env, id) = (world.registry(), world.env(), draft(&world, "svc-1"));
    world.registered("other");
    assert_eq!(rule(registry.adopt_as(EVE, &id, "sales", &profile("Sales"), &env)), "agent.not_owner");
    assert_eq!(rule(registry.adopt_as(OLGA, &id, "other", &profile("Sales"), &env)), "id.taken");
    assert_eq!(rule(registry.adopt_as(OLGA, "other", "sales", &profile("Sales"), &env)), "agent.stage");
    let adopted = registry.adopt_as(OLGA, &id, "sales", &profile("Sales"), &env).unwrap();
    assert_eq!((adopted.record.id.as_str(), adopted.stage), ("sales", Stage::Registered));
    assert_eq!(adopted.record.origin, registry.get(&id).unwrap().record.origin);
    assert_eq!(registry.accounts("sales").unwrap().len(), 1);
    assert!(registry.accounts(&id).unwrap().is_empty());
    let gone = registry.get(&id).unwrap();
    assert_eq!((gone.stage, rule(registry.adopt(ANN, &id, &profile("x"), &env))), (Stage::Retired, "agent.retired"));
    assert!(world.allows("user:olga operator agent:sales"));
    registry.activate(JOHN, "sales", &env).unwrap();
    assert!(world.allows("agent:sales active tenant:acme"));
    assert_eq!(whose(&world, vec![account("svc-1")]), [(Whose::Agent, Some("agent:sales".into()))]);
    // One that keeps its own id.
    let id = draft(&world, "svc-2");
    assert_eq!(registry.adopt(OLGA, &id, &profile("Two"), &env).unwrap().stage, Stage::Registered);
    assert_eq!(whose(&world, vec![account("svc-2")]), [(Whose::Agent, Some(format!("agent:{id}")))]);
}

#[test]
fn what_was_found_may_be_an_agents_that_is_there_or_none() {
    let world = World::new();
    let (registry, env, id) = (world.registry(), world.env(), draft(&world, "svc-1"));
    world.active("sales");
    assert_eq!(rule(registry.is_same(OLGA, &id, "sales", &env)), "agent.not_allowed");
    let sales = registry.is_same(JOHN, &id, "sales", &env).unwrap();
    assert_eq!((sales.stage, registry.get(&id).unwrap().stage), (Stage::Active, Stage::Retired));
    assert_eq!(registry.accounts("sales").unwrap()[0].account, account("svc-1"));
    assert_eq!(whose(&world, vec![account("svc-1")]), [(Whose::Agent, Some("agent:sales".into()))]);
    assert_eq!(rule(registry.is_same(JOHN, "sales", "sales", &env)), "agent.stage");
    // Somebody says that it is no agent: then it is known, and not found again.
    let backup = draft(&world, "svc-backup");
    registry.retire(ANN, &backup, "the nightly backup, which is no agent", &env).unwrap();
    let known = [(Whose::Retired, Some(format!("agent:{backup}")))];
    assert_eq!(whose(&world, vec![account("svc-backup")]), known);
    let wider = Account { scopes: vec!["everything".into()], ..account("svc-backup") };
    assert_eq!(whose(&world, vec![wider.clone()]), known);
    assert_eq!(registry.accounts(&backup).unwrap()[0].account, wider);
}

#[test]
fn a_draft_of_a_document_keeps_the_id_that_its_client_knows() {
    struct Document;
    impl Documents for Document {
        fn fetch(&self, _: u32, url: &str) -> Answer<Vec<u8>> {
            Ok(json!({ "client_id": url }).to_string().into_bytes())
        }
    }
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    let url = "https://bot.example/agent.json";
    let id = registry.seen(url, &Document, &env).unwrap().agent().record.id.clone();
    assert_eq!(rule(registry.adopt_as(OLGA, &id, "sales", &profile("x"), &env)), "draft.document");
    let by_url = Account { client_id: Some(url.to_owned()), ..account("app") };
    assert_eq!(whose(&world, vec![by_url]), [(Whose::Waiting, Some(format!("agent:{id}")))]);
    assert_eq!(registry.get(&id).unwrap().stage, Stage::Discovered);
}

#[test]
fn reports_are_judged_and_bounded() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    for (by, may) in [(EVE, false), (OLGA, false), (By::Subject("user:aud"), false), (ANN, true), (By::Machine, true)] {
        assert_eq!(registry.report(by, &report(vec![]), &own(), &env).is_ok(), may, "{by:?}");
    }
    registry.reporter("user:eve", true, &env).unwrap();
    registry.report(EVE, &report(vec![]), &own(), &env).unwrap();
    registry.reporter("user:eve", false, &env).unwrap();
    assert_eq!(rule(registry.report(EVE, &report(vec![]), &own(), &env)), "report.not_allowed");
    for bad in ["eve", "team:x", "user:nobody", "app:nobody", "user:a b"] {
        assert!(registry.reporter(bad, true, &env).is_err(), "{bad}");
    }
    let long = "x".repeat(300);
    for bad in [
        Account { account: " ".into(), ..account("a") },
        Account { account: long.clone(), ..account("a") },
        Account { name: "a\u{7}".into(), ..account("a") },
        Account { client_id: Some(long.clone()), ..account("a") },
        Account { scopes: vec![String::new(); ACCOUNT_SCOPES_MAX + 1], ..account("a") },
        Account { scopes: vec![long], ..account("a") },
    ] {
        let refusal = registry.report(ANN, &report(vec![account("good"), bad]), &own(), &env).unwrap_err();
        assert!(refusal.description.starts_with("accounts[1]: "), "{refusal}");
    }
    assert!(registry.list(&Filter::default(), None, 10).unwrap().0.is_empty(), "nothing of a bad report is taken");
    for system in ["", "CRM", "a b", "crm/x"] {
        let bad = Report { system: system.into(), accounts: vec![] };
        assert_eq!(rule(registry.report(ANN, &bad, &own(), &env)), "report.form", "{system}");
    }
    let many = (0..=ACCOUNTS_PER_REPORT_MAX).map(|n| account(&n.to_string())).collect();
    assert_eq!(rule(registry.report(ANN, &report(many), &own(), &env)), "report.form");
}

#[test]
fn drafts_by_reports_have_an_end_of_their_own() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    for part in 0..ACCOUNTS_WAITING_MAX / ACCOUNTS_PER_REPORT_MAX {
        let ids = (0..ACCOUNTS_PER_REPORT_MAX).map(|n| account(&format!("{part}-{n}"))).collect();
        assert!(whose(&world, ids).iter().all(|(whose, _)| *whose == Whose::New));
    }
    let found = whose(&world, vec![account("0-0"), account("more")]);
    assert_eq!(found[1], (Whose::NoRoom, None));
    let first = found[0].1.clone().unwrap();
    registry.retire(ANN, first.strip_prefix("agent:").unwrap(), "none", &env).unwrap();
    let found = whose(&world, vec![account("more"), account("yet more")]);
    assert_eq!((found[0].0, found[1].0), (Whose::New, Whose::NoRoom));
}
