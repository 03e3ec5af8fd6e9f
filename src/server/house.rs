//! What the house is kept for after the key ring was rotated: what older keys sealed is sealed with the newest, while all
//! goes on, so that a line of the ring can be removed.

use crate::identity::{Answer, Env, Tenant};
use crate::modules::vault::{self, ResealCursor};
use std::collections::HashMap;

/// Records of the vault that are looked at in one go.
const RESEALED_PER_GO: usize = 500;
/// Most goes for one tenant at a time: the others' turn comes too.
const GOES_MAX: usize = 20;

/// How far the walk over the vaults has come. The ring is read once, when the server starts, and what is written from then on
/// is sealed with its newest key: so one walk is enough.
#[derive(Default)]
pub(super) struct Resealing(HashMap<u32, Walk>);

/// The walk over one vault.
struct Walk {
    /// Where it stands; none when it is over.
    at: Option<ResealCursor>,
    /// How many it has sealed anew.
    sealed: usize,
}

impl Resealing {
    /// Goes on with the walk over the vault of a tenant.
    pub(super) fn go_on(&mut self, tenant: &Tenant, env: &Env<'_>) -> Answer<()> {
        let start = || Walk { at: Some(ResealCursor::default()), sealed: 0 };
        let walk = self.0.entry(tenant.number()).or_insert_with(start);
        for _ in 0..GOES_MAX {
            let Some(at) = walk.at.clone() else { return Ok(()) };
            let (sealed, next) = vault::reseal(tenant, at, RESEALED_PER_GO, env)?;
            walk.sealed += sealed;
            walk.at = next;
            if walk.at.is_none() && walk.sealed > 0 {
                tracing::info!(
                    tenant = tenant.name(),
                    records = walk.sealed,
                    "the vault was sealed anew with the newest key of the ring"
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Settings};
    use crate::identity::{Client, ClientKind, Identity, TenantSettings};
    use crate::modules::vault::{ConnectionSpec, Hidden, Holder, Secret, VAULT};
    use crate::secrets::KeyRing;
    use crate::wire::{now, random};
    use serde_json::json;
    use std::path::Path;

    /// More than one go has, so that the walk has to go on.
    const AGENTS: usize = RESEALED_PER_GO + 3;

    fn env() -> Env<'static> {
        Env { now: now(), random: &random, trace: None, address: None }
    }

    /// A ring of keys of these names, the last of which seals.
    fn ring(names: &[(&str, u64)]) -> KeyRing {
        let line = |(name, n): &(&str, u64)| {
            let mut key = *b"a key of thirty-two bytes, or so";
            key[31] = u8::try_from(*n).unwrap();
            KeyRing::key_line(name, *n, &key).unwrap().to_string()
        };
        KeyRing::parse(&(KeyRing::head() + &names.iter().map(line).collect::<String>()), &[]).unwrap()
    }

    fn open(directory: &Path, names: &[(&str, u64)]) -> Identity {
        let engine = Engine::open_with(directory, Settings { sync: false, ..Settings::default() }).unwrap();
        Identity::open(engine, ring(names), &env()).unwrap()
    }

    /// How many records of the vault have a seal by the key of this name.
    fn sealed_by(tenant: &Tenant, name: &str) -> usize {
        let records = tenant.engine().records(VAULT);
        let (mut count, mut after) = (0, None::<Vec<u8>>);
        loop {
            let page = records.scan(&tenant.number().to_be_bytes(), after.as_deref(), 500).unwrap();
            for (_, bytes) in &page {
                let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { continue };
                let sealed = value.get("sealed").or(value.get("secret")).and_then(|sealed| sealed.as_str());
                let envelope = sealed.and_then(crate::identity::decode).unwrap_or_default();
                let length = envelope.get(1).map_or(0, |length| usize::from(*length));
                count += usize::from(envelope.get(2..2 + length) == Some(name.as_bytes()));
            }
            match page.last() {
                Some((key, _)) if page.len() == 500 => after = Some(key.clone()),
                _ => return count,
            }
        }
    }

    #[test]
    fn what_older_keys_sealed_is_sealed_anew_and_the_old_key_can_go() {
        let directory = tempfile::tempdir().unwrap();
        let holder = |n: usize| Holder::Agent(format!("agent:a{n}"));
        {
            let identity = open(directory.path(), &[("old", 1)]);
            let settings = TenantSettings::default();
            let tenant = identity.create_tenant("acme", "https://id.example/acme", &settings, &env()).unwrap();
            let spec = json!({
                "id": "model", "name": "A model", "holder": "agent", "base": "https://model.example", "rules": [],
                "provider": {"type": "api_key_header", "header": "Authorization", "prefix": "Bearer "},
            });
            let spec: ConnectionSpec = serde_json::from_value(spec).unwrap();
            vault::create(&tenant, spec, Some("client-secret-of-ours"), "machine", &env()).unwrap();
            tenant.create_client(&Client::new("a0", ClientKind::Agent, "One"), &env()).unwrap();
            for n in 0..AGENTS {
                let key = Secret::ApiKey { key: Hidden::new(format!("key-of-agent-number-{n}")) };
                vault::set_credential(&tenant, "model", &holder(n), key, "machine", &env()).unwrap();
            }
            assert_eq!(sealed_by(&tenant, "old"), AGENTS + 1);
        }
        {
            let identity = open(directory.path(), &[("old", 1), ("new", 2)]);
            let tenant = identity.named("acme").unwrap();
            let mut resealing = Resealing::default();
            resealing.go_on(&tenant, &env()).unwrap();
            assert_eq!((sealed_by(&tenant, "old"), sealed_by(&tenant, "new")), (0, AGENTS + 1));
            assert_eq!(
                resealing.0.get(&tenant.number()).map(|walk| (walk.at.is_none(), walk.sealed)),
                Some((true, AGENTS + 1))
            );
            tenant.reseal_keys(&env()).unwrap();
            assert!(tenant.reseal_keys(&env()).is_ok_and(|anew| !anew));
        }
        let identity = open(directory.path(), &[("new", 2)]);
        let tenant = identity.named("acme").unwrap();
        let connection = vault::get(&tenant, "model").unwrap();
        assert!(connection.has_client_secret());
        let held = vault::credentials_for(&tenant, &connection, None, AGENTS).unwrap();
        assert_eq!(held.len(), AGENTS);
        // What the old ring sealed opens with the new key alone: putting it in a call needs it.
        vault::disconnect(&tenant, "model", &holder(1), "machine", &env()).unwrap();
        let mut resealing = Resealing::default();
        resealing.go_on(&tenant, &env()).unwrap();
        assert_eq!(resealing.0.get(&tenant.number()).map(|walk| walk.sealed), Some(0));
    }
}
