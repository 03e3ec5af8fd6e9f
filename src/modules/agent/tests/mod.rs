//! The rules of the registry without a server, and one story through its routes.

mod accounts;
mod history;
mod life;
mod orphans;
mod reach;
mod routes;
mod widen;

use super::*;
use crate::engine::{Engine, Settings};
use crate::identity::{AUDIT, Event, Identity, TenantSettings, audit_key};
use crate::secrets::KeyRing;
use crate::tuple::Timestamp;
use serde_json::Map;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const START: u64 = 1_800_000_000;

/// A tenant with an administrator (ann), an auditor (aud), a team (sales-ops: olga), its lead (john), whose manager is boss,
/// and a stranger (eve).
pub(super) struct World {
    pub(super) tenant: Tenant,
    pub(super) now: u64,
    random: Box<dyn Fn(&mut [u8]) + Sync>,
    _directory: tempfile::TempDir,
}

fn dice() -> Box<dyn Fn(&mut [u8]) + Sync> {
    let thrown = AtomicU64::new(0);
    Box::new(move |bytes| {
        for chunk in bytes.chunks_mut(32) {
            let n = thrown.fetch_add(1, Ordering::Relaxed);
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_be_bytes());
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
    })
}

impl World {
    pub(super) fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path(), Settings { sync: false, ..Settings::default() }).unwrap();
        let line = KeyRing::key_line("a", 1, b"a key of thirty-two bytes, or so").unwrap();
        let ring = KeyRing::parse(&(KeyRing::head() + &line), &[]).unwrap();
        let random = dice();
        let env = Env::new(at(START), &*random);
        let identity = Identity::open(engine, ring, &env).unwrap();
        identity.set_historian(std::sync::Arc::new(Histories));
        let settings = TenantSettings::default();
        let tenant = identity.create_tenant("acme", "https://id.example/acme", &settings, &env).unwrap();
        let world = World { tenant, now: START, random, _directory: directory };
        for id in ["ann", "aud", "olga", "john", "boss", "eve"] {
            world.tenant.create_user(Some(id), &[], Map::new(), &world.env()).unwrap();
        }
        world.relate(&[
            "tenant:acme admin user:ann",
            "tenant:acme auditor user:aud",
            "team:sales-ops member user:olga",
            "user:john manager user:boss",
            "connection:crm tenant tenant:acme",
            "connection:mail tenant tenant:acme",
        ]);
        world
    }

    pub(super) fn env(&self) -> Env<'_> {
        Env { trace: Some("trace-1"), address: None, ..Env::new(at(self.now), &*self.random) }
    }

    pub(super) fn registry(&self) -> Registry<'_> {
        Registry { tenant: &self.tenant, approvals: &NoApprovals }
    }

    pub(super) fn relate(&self, tuples: &[&str]) {
        let env = self.env();
        let mut change = self.tenant.change(&env);
        for tuple in tuples {
            let parts: Vec<&str> = tuple.split(' ').collect();
            change.relate(parts[0], parts[1], parts[2]);
        }
        change.commit().unwrap();
    }

    /// Whether a Check allows, `agent:a active tenant:acme`.
    pub(super) fn allows(&self, question: &str) -> bool {
        let parts: Vec<&str> = question.split(' ').collect();
        self.tenant.check(parts[0], parts[1], parts[2]).unwrap() == crate::engine::Decision::Allow
    }

    /// An agent that has been registered with all that it needs to act.
    pub(super) fn registered(&self, id: &str) -> Agent {
        self.registry().register(ANN, Some(id), &profile(id), &self.env()).unwrap()
    }

    /// An agent that acts.
    pub(super) fn active(&self, id: &str) -> Agent {
        self.registered(id);
        self.registry().activate(ANN, id, &self.env()).unwrap()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let start = audit_key(self.tenant.number(), b'e');
        let all = self.tenant.engine().records(AUDIT).scan(&start, None, 1_000).unwrap();
        all.iter().map(|(_, bytes)| Event::read(bytes).unwrap()).collect()
    }
}

/// Accounts of the tenant's own.
#[derive(Default)]
pub(super) struct Own(pub(super) Vec<OwnAccount>);

impl OwnAccounts for Own {
    fn of(&self, _: &Tenant) -> Answer<Vec<OwnAccount>> {
        Ok(self.0.clone())
    }
}

pub(super) const ANN: By<'static> = By::Subject("user:ann");
pub(super) const OLGA: By<'static> = By::Subject("user:olga");
pub(super) const JOHN: By<'static> = By::Subject("user:john");
pub(super) const EVE: By<'static> = By::Subject("user:eve");

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap() * 1_000_000_000)
}

pub(super) fn profile(name: &str) -> Profile {
    Profile {
        name: name.to_owned(),
        purpose: "Writes proposals for customers that a person then sends".to_owned(),
        kind: AgentType::Assistant,
        model: "some-model-2".to_owned(),
        owner: Some("team:sales-ops".to_owned()),
        accountable: Some("user:john".to_owned()),
    }
}

pub(super) fn rule<T>(answer: Answer<T>) -> &'static str {
    match answer {
        Ok(_) => "allowed",
        Err(refusal) => refusal.rule,
    }
}
