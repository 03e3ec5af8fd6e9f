//! How long it takes to list agents: by pages, as the administration does, with the stage of each and whether somebody answers
//! for it. `cargo bench --bench registry` has 200 agents, `-- full` 10,000 in 100 teams.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench fails loudly and talks to a person")]

use bailiwick::Bailiwick;
use bailiwick::engine::Settings;
use bailiwick::identity::{Env, Identity, Tenant, TenantSettings};
use bailiwick::modules::agent::{By, Filter, NoApprovals, Profile, Registry};
use bailiwick::secrets::KeyRing;
use bailiwick::wire::{now, random};
use hdrhistogram::Histogram;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Agents on a page.
const PAGE: usize = 100;

fn env() -> Env<'static> {
    Env::new(now(), &random)
}

/// Teams of one person each, who answers for the agents of the team; every tenth team has nobody left.
fn furnish(tenant: &Tenant, teams: usize, agents: usize) {
    for team in 0..teams {
        tenant.create_user(Some(&format!("person-{team}")), &[], serde_json::Map::new(), &env()).unwrap();
        let env = env();
        let mut change = tenant.change(&env);
        change.relate(&format!("team:{team}"), "member", &format!("user:person-{team}"));
        change.commit().unwrap();
    }
    let registry = Registry { tenant, approvals: &NoApprovals };
    let begun = Instant::now();
    for agent in 0..agents {
        let team = agent % teams;
        let profile = Profile {
            name: format!("Agent {agent}"),
            purpose: format!("answers the mail of team {team}"),
            kind: bailiwick::modules::agent::AgentType::default(),
            model: "a model".into(),
            owner: Some(format!("team:{team}")),
            accountable: Some(format!("user:person-{team}")),
        };
        let id = format!("agent-{agent:05}");
        registry.register(By::Machine, Some(&id), &profile, &env()).unwrap();
        if agent % 4 != 0 {
            registry.activate(By::Machine, &id, &env()).unwrap();
        }
    }
    println!("{agents} agents registered, three of four activated, in {:.1} s", begun.elapsed().as_secs_f64());
    for team in (0..teams).step_by(10) {
        tenant.delete_user(&format!("person-{team}"), &env()).unwrap();
    }
}

/// Reads all pages of a list, some times, and prints what a page and the whole took.
fn measure(registry: &Registry<'_>, name: &str, filter: &Filter, rounds: usize) {
    let (mut pages, mut wholes) = (Histogram::<u64>::new(3).unwrap(), Histogram::<u64>::new(3).unwrap());
    let micros = |begun: Instant| u64::try_from(begun.elapsed().as_micros()).unwrap();
    let mut found = 0;
    for _ in 0..rounds {
        let (whole, mut after) = (Instant::now(), None::<String>);
        found = 0;
        loop {
            let begun = Instant::now();
            let (page, next) = registry.list(filter, after.as_deref(), PAGE).unwrap();
            pages.record(micros(begun)).unwrap();
            found += page.len();
            after = next;
            if after.is_none() {
                break;
            }
        }
        wholes.record(micros(whole)).unwrap();
    }
    let ms = |histogram: &Histogram<u64>, q: f64| histogram.value_at_quantile(q) as f64 / 1e3;
    let [p50, p99, whole] = [ms(&pages, 0.5), ms(&pages, 0.99), ms(&wholes, 0.5)];
    println!("{name:28} {found:>8} {p50:>10.2} {p99:>10.2} {whole:>10.1}");
}

fn main() {
    let full = std::env::args().any(|argument| argument == "full");
    let (teams, agents) = if full { (100, 10_000) } else { (20, 200) };
    let directory = tempfile::tempdir().unwrap();
    let engine = Bailiwick::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
    let line = KeyRing::key_line("k", 1, b"a key of thirty-two bytes, or so").unwrap();
    let ring = KeyRing::parse(&(KeyRing::head() + &line), &[]).unwrap();
    let identity = Identity::open(engine, ring, &env()).unwrap();
    let tenant = identity.create_tenant("acme", "https://id.example", &TenantSettings::default(), &env()).unwrap();
    furnish(&tenant, teams, agents);
    let registry = Registry { tenant: &tenant, approvals: &NoApprovals };
    println!("{:28} {:>8} {:>10} {:>10} {:>10}", "list", "found", "page p50", "page p99", "all, ms");
    let rounds = if full { 20 } else { 5 };
    let all = Filter::default();
    measure(&registry, "all", &all, rounds);
    measure(&registry, "of a team", &Filter { owner: Some("team:7".into()), ..all.clone() }, rounds);
    measure(&registry, "with a word", &Filter { text: Some("team 13".into()), ..all.clone() }, rounds);
    measure(&registry, "for which nobody answers", &Filter { orphaned: true, ..all.clone() }, rounds);
    measure(&registry, "that a person operates", &Filter { operator: Some("user:person-7".into()), ..all }, rounds);
    let begun = Instant::now();
    let shown = registry.get("agent-00007").unwrap();
    println!("one agent, {}: {:?}", shown.record.id, begun.elapsed());
}
