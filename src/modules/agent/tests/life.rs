//! Stages, who may take which step, history, and what is left of an agent that is gone.

use super::*;
use crate::identity::{
    AssertionChain, AuthMethod, ClientKeys, EventKind, Form, NoKeys, NoUses, Workload, WorkloadIssuer,
};
use proptest::prelude::*;

#[test]
fn an_agent_lives_from_registration_to_its_tombstone() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    let made = registry.register(OLGA, Some("sales-agent-prod-001"), &profile("Sales"), &env).unwrap();
    assert_eq!((made.stage, made.orphaned.len()), (Stage::Registered, 0));
    assert!(!world.allows("agent:sales-agent-prod-001 active tenant:acme"), "registered is not active");
    assert!(world.allows("user:olga operator agent:sales-agent-prod-001"));
    assert!(world.allows("user:boss approver agent:sales-agent-prod-001"), "the manager of who answers for it");

    let id = "sales-agent-prod-001";
    assert_eq!(registry.activate(JOHN, id, &env).unwrap().stage, Stage::Active);
    assert!(world.allows("agent:sales-agent-prod-001 active tenant:acme"));
    let suspended = registry.suspend(OLGA, id, "reads too much", &env).unwrap();
    assert_eq!(suspended.stage, Stage::Suspended);
    assert_eq!(suspended.record.suspension.unwrap().reason, "reads too much");
    assert!(!world.allows("agent:sales-agent-prod-001 active tenant:acme"));
    assert_eq!(registry.resume(JOHN, id, &env).unwrap().stage, Stage::Active);
    let renamed = Profile { name: "Sales 2".into(), ..profile("Sales") };
    assert_eq!(registry.change(OLGA, id, &renamed, &env).unwrap().record.profile.name, "Sales 2");
    assert_eq!(world.tenant.client(id).unwrap().name, "Sales 2");

    let gone = registry.retire(JOHN, id, "the campaign is over", &env).unwrap();
    assert_eq!(gone.stage, Stage::Retired);
    assert_eq!(gone.record.profile.accountable.as_deref(), Some("user:john"), "who answered for it last is kept");
    for question in [
        "agent:sales-agent-prod-001 active tenant:acme",
        "agent:sales-agent-prod-001 member tenant:acme",
        "user:olga operator agent:sales-agent-prod-001",
        "user:john accountable agent:sales-agent-prod-001",
    ] {
        assert!(!world.allows(question), "{question}");
    }
    assert_eq!(rule(world.tenant.client(id)), "not_found");
    assert_eq!(rule(registry.activate(ANN, id, &env)), "agent.retired");
    assert_eq!(rule(registry.change(ANN, id, &renamed, &env)), "agent.retired");
    assert_eq!(rule(registry.register(ANN, Some(id), &profile("Again"), &env)), "id.taken", "an id is given once");
    let user = world.tenant.create_user(Some(id), &[], serde_json::Map::new(), &env);
    assert_eq!(rule(user), "id.taken");
}

#[test]
fn history_says_what_was_changed_by_whom_and_so_do_events() {
    let mut world = World::new();
    world.registered("bot");
    world.now += 60;
    let (registry, env) = (world.registry(), world.env());
    registry.activate(JOHN, "bot", &env).unwrap();
    let other = Profile { purpose: "Something else".into(), model: String::new(), ..profile("bot") };
    registry.change(OLGA, "bot", &other, &env).unwrap();
    registry.change(OLGA, "bot", &other, &env).unwrap(); // nothing is different: no entry
    registry.suspend(By::Machine, "bot", "", &env).unwrap();

    let history = registry.history("bot", 0, 100).unwrap();
    let told: Vec<(u32, &str, &str)> =
        history.iter().map(|entry| (entry.version, entry.by.as_str(), entry.action.as_str())).collect();
    let expected = [
        (1, "user:ann", "register"),
        (2, "user:john", "activate"),
        (3, "user:olga", "change"),
        (4, "machine", "suspend"),
    ];
    assert_eq!(told, expected);
    assert_eq!(history[1].at, START + 60);
    let stage = &history[1].changes[0];
    assert_eq!((stage.from.as_deref(), stage.to.as_deref()), (Some("registered"), Some("active")));
    let fields: Vec<(&str, Option<&str>)> =
        history[2].changes.iter().map(|c| (c.field.as_str(), c.to.as_deref())).collect();
    assert_eq!(fields, [("purpose", Some("Something else")), ("model", None)]);
    assert_eq!(registry.history("bot", 2, 1).unwrap()[0].version, 3, "page by page");

    let about: Vec<_> = world.events().into_iter().filter(|e| e.get_resource() == Some("agent:bot")).collect();
    let kinds: Vec<EventKind> = about.iter().map(crate::identity::Event::kind).collect();
    use EventKind::{AgentChanged, AgentRegistered, AgentSuspended};
    assert_eq!(kinds, [AgentRegistered, AgentChanged, AgentChanged, AgentSuspended]);
    assert_eq!(about[2].get_user(), Some("user:olga"));
    assert_eq!(about[2].details()["changed"], "purpose model");
    // Each rests on a Check at a revision; a command rests on none.
    let revisions: Vec<bool> = about.iter().map(|event| event.get_revision().is_some()).collect();
    assert_eq!(revisions, [true, true, true, false]);
}

#[test]
fn each_step_is_for_those_who_may_take_it() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    // Registration: administrators, and members of the team that will own it.
    for (by, id, expected) in [
        (ANN, "a1", "allowed"),
        (OLGA, "a2", "allowed"),
        (JOHN, "a3", "agent.not_owner"),
        (EVE, "a4", "agent.not_owner"),
    ] {
        assert_eq!(rule(registry.register(by, Some(id), &profile(id), &env)), expected, "{by:?}");
    }
    let unowned = Profile { owner: None, ..profile("x") };
    assert_eq!(rule(registry.register(OLGA, Some("a5"), &unowned, &env)), "agent.not_owner");
    // An operator of the team may suspend, and not activate.
    assert_eq!(rule(registry.activate(OLGA, "a2", &env)), "agent.not_allowed");
    assert_eq!(rule(registry.activate(EVE, "a2", &env)), "agent.not_allowed");
    registry.activate(JOHN, "a2", &env).unwrap();
    assert_eq!(rule(registry.suspend(EVE, "a2", "", &env)), "agent.not_allowed");
    registry.suspend(OLGA, "a2", "", &env).unwrap();
    assert_eq!(rule(registry.resume(OLGA, "a2", &env)), "agent.not_allowed");
    registry.resume(JOHN, "a2", &env).unwrap();
    // What an administrator suspended, only an administrator lets go on; so too what came from elsewhere.
    registry.suspend(ANN, "a2", "", &env).unwrap();
    assert_eq!(rule(registry.resume(JOHN, "a2", &env)), "agent.suspended.admin");
    registry.resume(ANN, "a2", &env).unwrap();
    world.tenant.suspend("agent:a2", true, None, &env).unwrap();
    assert_eq!(registry.get("a2").unwrap().stage, Stage::Suspended);
    assert_eq!(rule(registry.resume(JOHN, "a2", &env)), "agent.suspended.admin");
    registry.resume(ANN, "a2", &env).unwrap();
    // Handing it over is for who answers for it.
    let theirs = Profile { accountable: Some("user:olga".into()), ..profile("a2") };
    assert_eq!(rule(registry.change(OLGA, "a2", &theirs, &env)), "agent.not_allowed");
    registry.change(JOHN, "a2", &theirs, &env).unwrap();
    assert_eq!(rule(registry.retire(JOHN, "a2", "", &env)), "agent.not_allowed", "it is another's now");
    // An agent does not change itself, even as an administrator; nobody who is suspended changes anything.
    world.relate(&["tenant:acme admin agent:a2"]);
    let itself = By::Subject("agent:a2");
    assert_eq!(rule(registry.suspend(itself, "a2", "", &env)), "agent.self");
    registry.activate(itself, "a1", &env).unwrap();
    world.tenant.suspend("user:olga", true, None, &env).unwrap();
    assert_eq!(rule(registry.suspend(OLGA, "a2", "", &env)), "agent.not_allowed");
    world.tenant.suspend_all(true, &env).unwrap();
    assert_eq!(rule(registry.suspend(ANN, "a1", "", &env)), "agent.not_allowed");
    assert_eq!(rule(registry.resume(By::Machine, "a1", &env)), "agent.suspended.all");
}

#[test]
fn before_it_may_act_somebody_answers_for_it() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    let bare = Profile { purpose: String::new(), owner: None, accountable: None, ..profile("bare") };
    let made = registry.register(ANN, Some("bare"), &bare, &env).unwrap();
    assert_eq!(made.orphaned, [Orphan::NoOwner, Orphan::NoAccountable]);
    assert_eq!(made.record.profile.missing().len(), 3);
    assert_eq!(rule(registry.activate(ANN, "bare", &env)), "agent.incomplete");
    let half = Profile { owner: Some("team:sales-ops".into()), purpose: "x".into(), ..bare };
    registry.change(ANN, "bare", &half, &env).unwrap();
    assert_eq!(rule(registry.activate(ANN, "bare", &env)), "agent.incomplete");
    for (bad, expected) in [
        (Profile { owner: Some("team:nobody".into()), ..profile("bare") }, "agent.owner"),
        (Profile { accountable: Some("user:nobody".into()), ..profile("bare") }, "agent.accountable"),
        (Profile { owner: Some("user:olga".into()), ..profile("bare") }, "subject.type"),
        (Profile { accountable: Some("john".into()), ..profile("bare") }, "subject.type"),
        (Profile { name: " ".into(), ..profile("bare") }, "agent.name"),
        (Profile { name: "a\u{0}b".into(), ..profile("bare") }, "text.form"),
        (Profile { purpose: "x".repeat(PURPOSE_BYTES_MAX + 1), ..profile("bare") }, "text.form"),
    ] {
        assert_eq!(rule(registry.change(ANN, "bare", &bad, &env)), expected);
    }
    registry.change(ANN, "bare", &profile("bare"), &env).unwrap();
    registry.activate(ANN, "bare", &env).unwrap();
    // An active one does not lose them by a change.
    let less = Profile { accountable: None, ..profile("bare") };
    assert_eq!(rule(registry.change(ANN, "bare", &less, &env)), "agent.incomplete");
}

#[test]
fn an_agent_whose_people_are_gone_is_orphaned() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    for id in ["a", "b", "c"] {
        world.active(id);
    }
    let other = Profile { accountable: Some("user:eve".into()), ..profile("c") };
    registry.change(ANN, "c", &other, &env).unwrap();
    let orphans = |world: &World| -> Vec<String> {
        let filter = Filter { orphaned: true, ..Filter::default() };
        let (agents, next) = world.registry().list(&filter, None, 10).unwrap();
        assert_eq!(next, None);
        agents.into_iter().map(|agent| agent.record.id).collect()
    };
    assert!(orphans(&world).is_empty());
    world.tenant.delete_user("john", &env).unwrap();
    assert_eq!(orphans(&world), ["a", "b"]);
    assert_eq!(registry.get("a").unwrap().orphaned, [Orphan::AccountableGone]);
    world.tenant.suspend("user:olga", true, None, &env).unwrap();
    assert_eq!(orphans(&world), ["a", "b", "c"], "the team has nobody left who may act");
    assert_eq!(registry.get("c").unwrap().orphaned, [Orphan::OwnerEmpty]);
    registry.retire(ANN, "a", "", &env).unwrap();
    assert_eq!(orphans(&world), ["b", "c"]);
}

#[test]
fn lists_are_filtered_and_paged() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    for n in 0..7 {
        world.registered(&format!("agent-{n}"));
    }
    registry.activate(ANN, "agent-3", &env).unwrap();
    let ids = |filter: &Filter, after: Option<&str>, max| {
        let (agents, next) = registry.list(filter, after, max).unwrap();
        (agents.into_iter().map(|agent| agent.record.id).collect::<Vec<_>>(), next)
    };
    let (page, next) = ids(&Filter::default(), None, 3);
    assert_eq!((page.len(), next.as_deref()), (3, Some("agent-2")));
    let (page, next) = ids(&Filter::default(), next.as_deref(), 3);
    assert_eq!(
        (page.as_slice(), next.as_deref()),
        (&["agent-3".to_owned(), "agent-4".into(), "agent-5".into()][..], Some("agent-5"))
    );
    let (page, next) = ids(&Filter::default(), next.as_deref(), 3);
    assert_eq!((page.as_slice(), next), (&["agent-6".to_owned()][..], None));
    let only = |filter: Filter| ids(&filter, None, 10).0;
    assert_eq!(only(Filter { stage: Some(Stage::Active), ..Filter::default() }), ["agent-3"]);
    assert_eq!(only(Filter { text: Some("AGENT-5".into()), ..Filter::default() }), ["agent-5"]);
    assert_eq!(only(Filter { owner: Some("team:other".into()), ..Filter::default() }).len(), 0);
    assert_eq!(only(Filter { accountable: Some("user:john".into()), ..Filter::default() }).len(), 7);
    assert_eq!(only(Filter { operator: Some("user:olga".into()), ..Filter::default() }).len(), 7);
    assert_eq!(only(Filter { operator: Some("user:eve".into()), ..Filter::default() }).len(), 0);
    // Who is no auditor sees what they operate, and what they do not is not there.
    assert_eq!(registry.sees_only(By::Subject("user:aud")).unwrap(), None);
    assert_eq!(registry.sees_only(EVE).unwrap().as_deref(), Some("user:eve"));
    assert_eq!(rule(registry.may_read(EVE, "agent-1")), "not_found");
    registry.may_read(OLGA, "agent-1").unwrap();
}

#[test]
fn credentials_follow_each_other_without_a_gap_and_methods_are_enforced() {
    use base64::Engine as _;
    let mut world = World::new();
    world.active("bot");
    let basic =
        |secret: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("bot:{secret}")));
    let shows = |world: &World, secret: &str| {
        let form = crate::identity::Form::default();
        rule(world.tenant.authenticate_client(Some(&basic(secret)), &form, &NoKeys, &NoUses, &world.env()))
    };
    let first = world.registry().add_secret(OLGA, "bot", None, None, &world.env()).unwrap();
    assert!(first.warning.contains("private_key_jwt"));
    assert_eq!(shows(&world, &first.secret), "allowed");
    let second = world.registry().add_secret(OLGA, "bot", None, Some(3_600), &world.env()).unwrap();
    assert_eq!((shows(&world, &first.secret), shows(&world, &second.secret)), ("allowed", "allowed"));
    world.now += 3_600;
    assert_eq!((shows(&world, &first.secret), shows(&world, &second.secret)), ("client.secret", "allowed"));
    let third = world.registry().add_secret(OLGA, "bot", None, Some(0), &world.env()).unwrap();
    assert_eq!((shows(&world, &second.secret), shows(&world, &third.secret)), ("client.secret", "allowed"));

    world.registry().note_use("bot", &third.id, &world.env()).unwrap();
    let before = world.tenant.engine().revision();
    world.now += USE_STEP_S / 2;
    world.registry().note_use("bot", &third.id, &world.env()).unwrap();
    assert_eq!(world.tenant.engine().revision(), before, "at most one write in a step");
    let listed = world.registry().credentials("bot").unwrap();
    let used: Vec<_> = listed.iter().filter(|c| c.id == third.id).map(|c| c.used_at.is_some()).collect();
    assert_eq!(used, [true]);
    assert!(listed.iter().all(|c| c.warning.is_some()));

    let key = serde_json::json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]});
    let (registry, env) = (world.registry(), world.env());
    registry.set_keys(OLGA, "bot", &NewKeys::Jwks(key.clone()), &env).unwrap();
    let ways = Ways { auth_methods: vec![AuthMethod::PrivateKeyJwt], ..Ways::default() };
    registry.set_methods(OLGA, "bot", &ways, &env).unwrap();
    assert_eq!(shows(&world, &third.secret), "client.method", "a secret is of no use any more");
    assert_eq!(rule(registry.add_secret(OLGA, "bot", None, None, &env)), "agent.secret.method");
    let kinds: Vec<_> = registry.credentials("bot").unwrap().iter().map(|c| c.sort).collect();
    assert!(kinds.contains(&CredentialSort::Key));
    assert_eq!(rule(registry.set_keys(EVE, "bot", &NewKeys::None, &env)), "agent.not_allowed");
    assert_eq!(rule(registry.set_keys(OLGA, "bot", &NewKeys::None, &env)), "client.auth_methods");

    // It may also be what its platform says that it is.
    let of_platform =
        Workload { issuer: "https://cluster.example".into(), subject: "system:serviceaccount:a:bot".into() };
    let both = [of_platform, Workload::of_spiffe_id("spiffe://example.org/bot").unwrap()];
    assert_eq!(
        rule(registry.set_workloads(OLGA, "bot", &both, &env)),
        "client.workloads",
        "nobody trusts the platform"
    );
    for workload in &both {
        let keys = ClientKeys::JwksUri("https://cluster.example/jwks".into());
        world.tenant.put_workload_issuer(&WorkloadIssuer::new(&workload.issuer, keys), "user:ann", &env).unwrap();
    }
    registry.set_workloads(OLGA, "bot", &both, &env).unwrap();
    assert_eq!(rule(registry.set_workloads(EVE, "bot", &[], &env)), "agent.not_allowed");
    let methods = || world.tenant.client("bot").unwrap().auth_methods.clone();
    assert_eq!(methods(), [AuthMethod::PrivateKeyJwt, AuthMethod::WorkloadJwt, AuthMethod::SpiffeJwt]);
    let listed = registry.credentials("bot").unwrap();
    let ids: Vec<&str> = listed.iter().filter(|c| c.sort == CredentialSort::Workload).map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["https://cluster.example system:serviceaccount:a:bot", "spiffe://example.org/bot"]);
    registry.set_workloads(OLGA, "bot", &[], &env).unwrap();
    assert_eq!(methods(), [AuthMethod::PrivateKeyJwt]);

    may_be_known_by_certificates(&world, key);
    registry.remove_secret(OLGA, "bot", &third.id, &env).unwrap();
    let secrets = Ways { auth_methods: vec![AuthMethod::ClientSecretBasic], ..Ways::default() };
    registry.set_methods(OLGA, "bot", &secrets, &env).unwrap();
    registry.set_workloads(OLGA, "bot", &both[..1], &env).unwrap();
    assert_eq!(methods(), [AuthMethod::WorkloadJwt], "it has no secret to show");
    assert_eq!(rule(registry.remove_secret(OLGA, "bot", &third.id, &env)), "not_found");
    let told = registry.history("bot", 0, 100).unwrap();
    assert!(told.iter().all(|entry| !serde_json::to_string(entry).unwrap().contains(&third.secret)));
}

/// It may also be known by the certificates of an authority of its own, instead of keys or besides.
fn may_be_known_by_certificates(world: &World, key: serde_json::Value) {
    let (registry, env) = (world.registry(), world.env());
    let methods = || world.tenant.client("bot").unwrap().auth_methods.clone();
    let (mut params, of_authority) = (rcgen::CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authorities = params.self_signed(&of_authority).unwrap().pem();
    let chain = AssertionChain { authorities, subject: "san-uri=https://bot.example/".parse().unwrap() };
    assert_eq!(rule(registry.set_chain(EVE, "bot", Some(&chain), &env)), "agent.not_allowed");
    registry.set_chain(OLGA, "bot", Some(&chain), &env).unwrap();
    let listed = registry.credentials("bot").unwrap();
    let ids: Vec<&str> = listed.iter().filter(|c| c.sort == CredentialSort::Chain).map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["san-uri=https://bot.example/"]);
    registry.set_keys(OLGA, "bot", &NewKeys::None, &env).unwrap();
    assert_eq!(methods(), [AuthMethod::PrivateKeyJwt], "by its certificates");
    assert_eq!(rule(registry.set_chain(OLGA, "bot", None, &env)), "client.auth_methods");
    registry.set_keys(OLGA, "bot", &NewKeys::Jwks(key), &env).unwrap();
    registry.set_chain(OLGA, "bot", None, &env).unwrap();
    assert_eq!(methods(), [AuthMethod::PrivateKeyJwt], "by its keys");
    let told = registry.history("bot", 0, 100).unwrap();
    assert!(told.iter().all(|entry| !serde_json::to_string(entry).unwrap().contains("BEGIN CERTIFICATE")));
}

struct Document(&'static str);

impl Documents for Document {
    fn fetch(&self, _: u32, _: &str) -> Answer<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }
}

#[test]
fn what_nobody_registered_is_a_draft_until_somebody_adopts_it() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    let url = "https://bot.example/agent.json";
    let document = Document(
        r#"{"client_id": "https://bot.example/agent.json", "client_name": "Helpful", "redirect_uris": ["https://bot.example/cb"]}"#,
    );
    let Seen::Draft(draft) = registry.seen(url, &document, &env).unwrap() else { panic!("not new?") };
    let id = draft.record.id.clone();
    assert_eq!((draft.stage, draft.record.profile.name.as_str()), (Stage::Discovered, "Helpful"));
    assert!(!world.allows(&format!("agent:{id} active tenant:acme")));
    assert_eq!(rule(world.tenant.client_named(url)), "not_found");
    let Seen::Known(same) = registry.seen(url, &document, &env).unwrap() else { panic!("twice?") };
    assert_eq!(same.record.id, id);
    assert_eq!(rule(registry.activate(ANN, &id, &env)), "agent.stage");
    assert_eq!(rule(registry.add_secret(ANN, &id, None, None, &env)), "agent.stage");
    assert_eq!(rule(registry.adopt(EVE, &id, &profile("Helpful"), &env)), "agent.not_owner");
    let adopted = registry.adopt(OLGA, &id, &profile("Helpful"), &env).unwrap();
    assert_eq!(adopted.stage, Stage::Registered);
    assert_eq!(adopted.record.origin, Some(Origin::Document { document: url.to_owned(), seen_at: START }));
    registry.activate(JOHN, &id, &env).unwrap();
    assert!(world.allows(&format!("agent:{id} active tenant:acme")));
    assert_eq!(registry.by_document(url).unwrap().unwrap().record.id, id);
    // It is a client by its id, and by the name that it gives itself; nobody else has that name.
    let client = world.tenant.client_named(url).unwrap();
    assert_eq!((client.id.as_str(), client.own_name()), (id.as_str(), url));
    assert_eq!((client.name.as_str(), &*client.redirect_uris), ("Helpful", &["https://bot.example/cb".to_owned()][..]));
    let other = world.tenant.client_named("https://bot.example/other.json");
    assert_eq!(rule(other), "not_found");
    let form = Form::parse(&format!("client_id={url}")).unwrap();
    let caller = world.tenant.authenticate_client(None, &form, &NoKeys, &NoUses, &env).unwrap();
    assert_eq!(caller.client.id, id);
    let found = world.events().into_iter().filter(|event| event.kind() == EventKind::FindingRaised).count();
    assert_eq!(found, 1);
}

/// Documents that are whatever is asked for.
struct Any;

impl Documents for Any {
    fn fetch(&self, _: u32, url: &str) -> Answer<Vec<u8>> {
        Ok(serde_json::json!({"client_id": url}).to_string().into_bytes())
    }
}

/// A stranger's documents fill the waiting room, and no more: the database does not grow with every URL that is made up.
#[test]
fn drafts_have_an_end() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    let url = |n: usize| format!("https://h{n}.d{}.example/agent.json", n % 20);
    let mut first = None;
    for n in 0..DRAFTS_WAITING_MAX {
        let seen = registry.seen(&url(n), &Any, &env).unwrap();
        first.get_or_insert(seen.agent().record.id.clone());
    }
    assert_eq!(rule(registry.seen(&url(DRAFTS_WAITING_MAX), &Any, &env)), "draft.max");
    registry.retire(ANN, &first.unwrap(), "nobody wants it", &env).unwrap();
    registry.seen(&url(DRAFTS_WAITING_MAX), &Any, &env).unwrap();
    assert_eq!(rule(registry.seen(&url(0), &Any, &env)), "allowed", "it stays known, and gone");
    assert_eq!(registry.by_document(&url(0)).unwrap().unwrap().stage, Stage::Retired);
}

/// Who has a host, or a domain with as many hosts as they like, has a few places in the waiting room, and others have theirs.
#[test]
fn no_host_and_no_domain_takes_the_places_of_others() {
    let world = World::new();
    let (registry, env) = (world.registry(), world.env());
    let at = |host: &str, n: usize| registry.seen(&format!("https://{host}/{n}.json"), &Any, &env);
    let mut ids = Vec::new();
    for n in 0..DRAFTS_PER_HOST_MAX {
        ids.push(at("a.evil.example", n).unwrap().agent().record.id.clone());
    }
    assert_eq!(rule(at("a.evil.example", 9)), "draft.host_max");
    assert_eq!(rule(at("a.evil.example:8443", 9)), "draft.host_max", "another port is the same host");
    assert_eq!(rule(at("a.evil.example", 0)), "allowed", "what waits is known");
    for n in DRAFTS_PER_HOST_MAX..DRAFTS_PER_DOMAIN_MAX {
        at(&format!("h{n}.evil.example"), n).unwrap();
    }
    assert_eq!(rule(at("other.evil.example", 1)), "draft.host_max");
    at("good.example", 1).unwrap();
    at("evil.good.example", 1).unwrap();
    // Whoever is adopted or retired waits no more.
    registry.adopt(OLGA, &ids[0], &profile("x"), &env).unwrap();
    at("a.evil.example", 9).unwrap();
    registry.retire(ANN, &ids[1], "", &env).unwrap();
    at("a.evil.example", 10).unwrap();
    assert_eq!(rule(at("a.evil.example", 11)), "draft.host_max");
}

#[test]
fn a_draft_that_nobody_adopts_is_gone_and_may_come_again() {
    let mut world = World::new();
    let url = "https://bot.example/agent.json";
    let seen = |world: &World, url: &str| world.registry().seen(url, &Any, &world.env()).unwrap().agent().clone();
    let old = seen(&world, url).record.id;
    let adopted = seen(&world, "https://bot.example/adopted.json").record.id;
    world.registry().adopt(OLGA, &adopted, &profile("x"), &world.env()).unwrap();
    world.now += DRAFT_LIFE_S - 1;
    let young = seen(&world, "https://bot.example/young.json").record.id;
    assert_eq!(world.registry().expire_drafts(&world.env()).unwrap(), 0, "not yet");
    world.now += 1;
    assert_eq!(world.registry().expire_drafts(&world.env()).unwrap(), 1);
    assert_eq!(world.registry().expire_drafts(&world.env()).unwrap(), 0);
    let stage = |id: &str| world.registry().get(id).unwrap().stage;
    assert_eq!((stage(&old), stage(&young), stage(&adopted)), (Stage::Retired, Stage::Discovered, Stage::Registered));
    let event = world.events().into_iter().rfind(|event| event.kind() == EventKind::AgentRetired).unwrap();
    assert_eq!((event.get_resource(), event.get_action()), (Some(format!("agent:{old}").as_str()), Some("expire")));
    assert_eq!(event.details()["why"], "nobody adopted it in 7 days");
    let last = world.registry().history(&old, 0, 100).unwrap().pop().unwrap();
    assert_eq!((last.by.as_str(), last.action.as_str()), ("machine", "expire"));
    // The document is not known any more: its next request is a draft again, of another id.
    let again = seen(&world, url);
    assert_eq!(again.stage, Stage::Discovered);
    assert_ne!(again.record.id, old);
    // One whose client was deleted by itself ends as others do, and keeps none behind it.
    world.tenant.delete_client(&young, &world.env()).unwrap();
    world.now += DRAFT_LIFE_S;
    assert_eq!(world.registry().expire_drafts(&world.env()).unwrap(), 2);
    let stage = |id: &str| world.registry().get(id).unwrap().stage;
    assert_eq!((stage(&young), stage(&again.record.id)), (Stage::Retired, Stage::Retired));
}

/// What a person tries on an agent.
#[derive(Clone, Copy, Debug)]
enum Try {
    Step(Step),
    Suspension(bool),
    Rename,
}

fn tries() -> impl Strategy<Value = Vec<(usize, Try)>> {
    let step = (0..Step::ALL.len()).prop_map(|n| Try::Step(Step::ALL[n]));
    let one = prop_oneof![6 => step, 1 => any::<bool>().prop_map(Try::Suspension), 1 => Just(Try::Rename)];
    prop::collection::vec((0_usize..4, one), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whoever tries what in which order: the stage is where the steps that were allowed lead to, the agent acts if and only
    /// if it is active, each change is one entry of history, and nothing comes back from retirement.
    #[test]
    #[expect(clippy::unreachable, reason = "a test fails loudly")]
    fn no_order_of_steps_leads_elsewhere(tries in tries()) {
        let mut world = World::new();
        world.registered("bot");
        let people = [ANN, OLGA, JOHN, EVE];
        let (mut stage, mut entries) = (Stage::Registered, 1_u32);
        for (who, what) in tries {
            world.now += 1;
            let (registry, env, by) = (world.registry(), world.env(), people[who]);
            let done = match what {
                Try::Step(Step::Adopt) => registry.adopt(by, "bot", &profile("bot"), &env).map(|_| ()),
                Try::Step(Step::Activate) => registry.activate(by, "bot", &env).map(|_| ()),
                Try::Step(Step::Suspend) => registry.suspend(by, "bot", "", &env).map(|_| ()),
                Try::Step(Step::Resume) => registry.resume(by, "bot", &env).map(|_| ()),
                Try::Step(Step::Retire) => registry.retire(by, "bot", "", &env).map(|_| ()),
                Try::Suspension(on) => {
                    world.tenant.suspend("agent:bot", on, None, &env).unwrap();
                    // It is in history, whoever does it, where it changes something.
                    entries += match (stage, on) {
                        (Stage::Suspended, true) | (Stage::Active, false) => 0,
                        (Stage::Suspended, false) | (Stage::Active, true) => 1,
                        (_, true) => 2, // and its end below
                        (_, false) => 0,
                    };
                    match (stage, on) {
                        (Stage::Active, true) => stage = Stage::Suspended,
                        (Stage::Suspended, false) => stage = Stage::Active,
                        (Stage::Suspended, true) | (Stage::Active, false) => {}
                        // Of who cannot act: without this, it would be suspended from its first moment.
                        _ => world.tenant.suspend("agent:bot", false, None, &env).map(|_| ()).unwrap(),
                    }
                    continue;
                }
                Try::Rename => {
                    let other = Profile { name: format!("bot {}", world.now), ..profile("bot") };
                    let changed = registry.change(by, "bot", &other, &env);
                    entries += u32::from(changed.is_ok());
                    prop_assert!(changed.is_err() == (who == 3 || stage == Stage::Retired));
                    continue;
                }
            };
            let Try::Step(step) = what else { unreachable!() };
            if done.is_ok() {
                prop_assert_ne!(who, 3, "a stranger took a step");
                let next = stage.after(step);
                prop_assert!(next.is_some(), "{:?} from {:?}", step, stage);
                stage = next.unwrap();
                entries += 1;
            }
            prop_assert_eq!(registry.get("bot").unwrap().stage, stage);
            prop_assert_eq!(world.allows("agent:bot active tenant:acme"), stage == Stage::Active);
        }
        let history = world.registry().history("bot", 0, 100).unwrap();
        let versions: Vec<u32> = history.iter().map(|entry| entry.version).collect();
        prop_assert_eq!(versions, (1..=entries).collect::<Vec<_>>());
    }
}
