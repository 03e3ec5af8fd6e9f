//! What the house is kept for after the key ring was rotated (what older keys sealed is sealed with the newest, while all goes
//! on, so that a line of the ring can be removed), and after somebody was deleted or is gone from a team.

use crate::identity::{Answer, Env, Refusal, Seconds, Tenant};
use crate::modules::agent::{self, NoApprovals, Registry};
use crate::modules::approval::channel::{News, ORPHANS_NAMED_MAX};
use crate::modules::approval::{Approvals, forget_devices, reseal_push};
use crate::modules::audit::Audit;
use crate::modules::login::reseal_providers;
use crate::modules::revocation::reseal_streams;
use crate::modules::scim;
use crate::modules::vault::{self, ResealCursor, Vault};
use std::collections::HashMap;

/// Records that are looked at in one go.
const RESEALED_PER_GO: usize = 500;
/// Most goes for one tenant at a time: the others' turn comes too.
const GOES_MAX: usize = 20;

/// People, and agents, who were deleted and are looked after in one go.
const GONE_PER_GO: usize = 100;

/// Takes away what is kept of people who were deleted: the browsers in which they were told, the accounts that they connected,
/// their roles and teams, and what a directory said of them; and the credentials of agents that were retired. Whoever did it, and
/// whether or not a server ran.
///
/// # Errors
/// The disk failed; it is gone on from there the next time.
pub(super) fn forget_the_gone(tenant: &Tenant, vault: &Vault, env: &Env<'_>) -> Answer<()> {
    for user in tenant.gone_users(GONE_PER_GO)? {
        forget_devices(tenant, &user, env)?;
        vault.forget_user(tenant, &user, env)?;
        scim::forget_user(tenant, &user, env)?;
        tenant.drop_roles(&format!("user:{user}"), env)?;
        tenant.forgot_user(&user, env)?;
    }
    for subject in tenant.gone_clients(GONE_PER_GO)? {
        vault.forget_client(tenant, &subject, env)?;
        tenant.forgot_client(&subject, env)?;
    }
    Ok(())
}

/// How often it is looked whether somebody answers for each agent, in seconds.
const ORPHANS_S: Seconds = 15 * 60;

/// When it was last looked for agents for which nobody answers, by the number of the tenant.
#[derive(Default)]
pub(super) struct Orphans(HashMap<u32, Seconds>);

impl Orphans {
    /// Looks for them, if it is time, and has those told who may give them to somebody else.
    ///
    /// # Errors
    /// The disk failed; it is looked again the next time.
    pub(super) fn look(&mut self, tenant: &Tenant, approvals: &Approvals, env: &Env<'_>) -> Answer<()> {
        let due = self.0.get(&tenant.number()).map_or(0, |at| at.saturating_add(ORPHANS_S));
        if env.seconds() < due {
            return Ok(());
        }
        let told = Registry { tenant, approvals: &NoApprovals }.tell_of_orphans(&Telling(approvals), env)?;
        self.0.insert(tenant.number(), env.seconds());
        if told > 0 {
            tracing::warn!(
                tenant = tenant.name(),
                agents = told,
                "nobody answers for agents any more; people were told"
            );
        }
        Ok(())
    }
}

/// Tells of agents as of approvals.
struct Telling<'a>(&'a Approvals);

impl agent::Tell for Telling<'_> {
    fn orphaned(&self, tenant: &Tenant, user: &str, agents: &[String], env: &Env<'_>) -> Answer<()> {
        let more = agents.len().saturating_sub(ORPHANS_NAMED_MAX);
        let agents = agents.iter().take(ORPHANS_NAMED_MAX).cloned().collect();
        self.0.tell_news(tenant, user, &News::Orphans { agents, more }, env)
    }
}

/// How far the walks over what is sealed have come, by the number of the tenant. The ring is read once, when the server
/// starts, and what is written from then on is sealed with its newest key: so one walk is enough.
#[derive(Default)]
pub(super) struct Resealing(HashMap<u32, Walk>);

/// The walk over what one tenant has sealed.
struct Walk {
    at: Place,
    /// How many it has sealed anew.
    sealed: usize,
}

/// Where a walk stands.
#[derive(Clone, PartialEq)]
enum Place {
    /// The keys of the tenant, of its log, and its secrets at other providers: those are few.
    Keys,
    /// The vault.
    Vault(ResealCursor),
    /// What people show to sign in, behind one of them.
    Credentials(Option<String>),
    /// The key of Web Push, and the browsers in which people are told, behind one of them.
    Browsers(Option<String>),
    /// It is over.
    Done,
}

impl Resealing {
    /// Goes on with the walk of a tenant.
    ///
    /// # Errors
    /// The disk failed, or a key does not open; it is gone on from there the next time.
    pub(super) fn go_on(&mut self, tenant: &Tenant, env: &Env<'_>) -> Answer<()> {
        let walk = self.0.entry(tenant.number()).or_insert(Walk { at: Place::Keys, sealed: 0 });
        for _ in 0..GOES_MAX {
            if walk.at == Place::Done {
                break;
            }
            let (sealed, next) = step(tenant, &walk.at, env)?;
            (walk.sealed, walk.at) = (walk.sealed + sealed, next);
            if walk.at == Place::Done && walk.sealed > 0 {
                tracing::info!(
                    tenant = tenant.name(),
                    records = walk.sealed,
                    "what older keys of the ring had sealed was sealed anew with the newest"
                );
            }
        }
        Ok(())
    }
}

/// One go of a walk: how many it sealed anew, and where it stands then.
fn step(tenant: &Tenant, at: &Place, env: &Env<'_>) -> Answer<(usize, Place)> {
    match at {
        Place::Keys => {
            let own = usize::from(tenant.reseal_keys(env)?);
            let log = Audit::new(tenant.engine()).log(tenant.number());
            let log = log.reseal_keys(tenant.identity().ring(), || env.bytes());
            let log = log.map_err(|error| Refusal::failed("house.log", error.to_string()))?;
            let elsewhere = reseal_providers(tenant, env)? + reseal_streams(tenant, env)?;
            Ok((own + log + elsewhere, Place::Vault(ResealCursor::default())))
        }
        Place::Vault(cursor) => {
            let (sealed, next) = vault::reseal(tenant, cursor.clone(), RESEALED_PER_GO, env)?;
            Ok((sealed, next.map_or(Place::Credentials(None), Place::Vault)))
        }
        Place::Credentials(after) => {
            let resealed = tenant.reseal_credentials(after.as_deref(), RESEALED_PER_GO, env)?;
            for what in &resealed.unopened {
                tracing::error!(tenant = tenant.name(), what, "a credential does not open and was not sealed anew");
            }
            let next = resealed.next.map_or(Place::Browsers(None), |after| Place::Credentials(Some(after)));
            Ok((resealed.count, next))
        }
        Place::Browsers(after) => {
            let (sealed, next) = reseal_push(tenant, after.as_deref(), RESEALED_PER_GO, env)?;
            Ok((sealed, next.map_or(Place::Done, |after| Place::Browsers(Some(after)))))
        }
        Place::Done => Ok((0, Place::Done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, ReadQuery, Settings};
    use crate::identity::{
        AUDIT, Client, ClientKind, CredentialKind, Event, EventKind, Identity, TenantSettings, audit_key,
    };
    use crate::modules::approval::{ApprovalSettings, NewDevice, add_device, devices};
    use crate::modules::audit::keys::Fresh;
    use crate::modules::audit::{By, Log};
    use crate::modules::login::{NewProvider, put_provider};
    use crate::modules::vault::{ConnectionSpec, Hidden, Holder, Secret, VAULT};
    use crate::secrets::KeyRing;
    use crate::server::outgoing::Reconnects;
    use crate::server::plugs::Browsers;
    use crate::wire::{Outgoing, OutgoingSettings, SystemResolver, now, random};
    use serde_json::{Value, json};
    use std::path::Path;
    use std::sync::Arc;

    /// More than one go has, so that the walk has to go on.
    const AGENTS: usize = RESEALED_PER_GO + 3;

    fn env() -> Env<'static> {
        Env::new(now(), &random)
    }

    fn holder(n: usize) -> Holder {
        Holder::Agent(format!("agent:a{n}"))
    }

    fn log(tenant: &Tenant) -> Log {
        Audit::new(tenant.engine()).log(tenant.number())
    }

    /// The tenant of a database, with a ring of keys of these names, the last of which seals.
    fn open(directory: &Path, names: &[(&str, u64)]) -> Identity {
        let line = |(name, n): &(&str, u64)| {
            let mut key = *b"a key of thirty-two bytes, or so";
            key[31] = u8::try_from(*n).unwrap();
            KeyRing::key_line(name, *n, &key).unwrap().to_string()
        };
        let ring = KeyRing::head() + &names.iter().map(line).collect::<String>();
        let engine = Engine::open_with(directory, Settings { sync: false, ..Settings::default() }).unwrap();
        Identity::open(engine, KeyRing::parse(&ring, &[]).unwrap(), &env()).unwrap()
    }

    fn furnish(tenant: &Tenant) {
        let env = env();
        let fresh = Fresh { seed: &[7; 32], nonce: &[8; 24] };
        let (name, ring) = (Some("id.example/acme"), tenant.identity().ring());
        log(tenant).make_key(name, ring, fresh, &By::default(), env.now).unwrap();
        tenant.create_user(Some("sarah"), &["sarah@example.com"], serde_json::Map::new(), &env).unwrap();
        tenant.add_credential("sarah", CredentialKind::Totp, "App", b"a seed of an app", &env).unwrap();
        let (id, secret) = ("other", Some("our-secret-at-the-other"));
        let other = NewProvider { id, name: "Other", issuer: "https://login.example", client_id: "acme", secret };
        put_provider(tenant, other, None, &env).unwrap();
        let spec = json!({
            "id": "model", "name": "A model", "holder": "agent", "base": "https://model.example", "rules": [],
            "provider": {"type": "api_key_header", "header": "Authorization", "prefix": "Bearer "},
        });
        let spec: ConnectionSpec = serde_json::from_value(spec).unwrap();
        vault::create(tenant, spec, Some("client-secret-of-ours"), "machine", &env).unwrap();
        tenant.create_client(&Client::new("a0", ClientKind::Agent, "One"), &env).unwrap();
        for n in 0..AGENTS {
            let key = Secret::ApiKey { key: Hidden::new(format!("key-of-agent-number-{n}")) };
            vault::set_credential(tenant, "model", &holder(n), key, "machine", &env).unwrap();
        }
    }

    /// How many records of the vault have a seal by the key of this name.
    fn sealed_by(tenant: &Tenant, name: &str) -> usize {
        let records = tenant.engine().records(VAULT);
        let (mut count, mut after) = (0, None::<Vec<u8>>);
        loop {
            let page = records.scan(&tenant.number().to_be_bytes(), after.as_deref(), 500).unwrap();
            for (_, bytes) in &page {
                let Ok(value) = serde_json::from_slice::<Value>(bytes) else { continue };
                let sealed = value.get("sealed").or(value.get("secret")).and_then(Value::as_str);
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
        {
            let identity = open(directory.path(), &[("old", 1)]);
            let settings = TenantSettings::default();
            let tenant = identity.create_tenant("acme", "https://id.example/acme", &settings, &env()).unwrap();
            furnish(&tenant);
            assert_eq!(sealed_by(&tenant, "old"), AGENTS + 1);
        }
        {
            let tenant = open(directory.path(), &[("old", 1), ("new", 2)]).named("acme").unwrap();
            let mut resealing = Resealing::default();
            resealing.go_on(&tenant, &env()).unwrap();
            assert_eq!((sealed_by(&tenant, "old"), sealed_by(&tenant, "new")), (0, AGENTS + 1));
            // Besides: the tenant's own keys, that of its log, the provider's secret, and the seed of the app.
            let walk = resealing.0.get(&tenant.number()).unwrap();
            assert!(walk.at == Place::Done);
            assert_eq!(walk.sealed, AGENTS + 1 + 4);
        }
        // What the old key sealed opens with the new one alone.
        let tenant = open(directory.path(), &[("new", 2)]).named("acme").unwrap();
        let app = tenant.credentials("sarah").unwrap().pop().unwrap();
        assert_eq!(tenant.open_credential(&app).unwrap().as_slice(), b"a seed of an app");
        assert!(log(&tenant).signer(tenant.identity().ring()).is_ok());
        assert!(tenant.sign("JWT", &json!({}), &env()).is_ok());
        let mut resealing = Resealing::default();
        resealing.go_on(&tenant, &env()).unwrap();
        assert!(resealing.0.get(&tenant.number()).is_some_and(|walk| walk.at == Place::Done && walk.sealed == 0));
        let connection = vault::get(&tenant, "model").unwrap();
        assert!(connection.has_client_secret());
        assert_eq!(vault::credentials_for(&tenant, &connection, None, AGENTS).unwrap().len(), AGENTS);
    }

    #[test]
    fn who_was_deleted_is_forgotten_whoever_did_it() {
        let directory = tempfile::tempdir().unwrap();
        let identity = open(directory.path(), &[("a", 1)]);
        let settings = TenantSettings::default();
        let tenant = identity.create_tenant("t", "https://id.example", &settings, &env()).unwrap();
        // RFC 8291, appendix A.
        let p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let auth = "BTBZMqHH6r4Tts7J_aSIgg";
        for user in ["sarah", "olga"] {
            tenant.create_user(Some(user), &[], serde_json::Map::new(), &env()).unwrap();
            let endpoint = format!("https://push.example/{user}");
            let new = NewDevice { endpoint: &endpoint, p256dh, auth, key: "", name: "A phone" };
            add_device(&tenant, user, new, &env()).unwrap();
        }
        let env = &env();
        let roles = |user: &str| tenant.roles_held_by(&format!("user:{user}"), None, 10).unwrap().roles.len();
        for user in ["sarah", "olga"] {
            let subject = format!("user:{user}");
            tenant.give_role(&tenant.appointment_named("auditor", None, &subject).unwrap(), env).unwrap();
            let mut change = tenant.change(env);
            change.relate("team:ops", "member", &subject);
            change.commit().unwrap();
        }
        let members = || {
            let query = ReadQuery { object_type: Some("team"), page_size: 10, ..ReadQuery::default() };
            tenant.engine().read(tenant.system_store(), &query).unwrap().value.tuples.len()
        };
        let count = |user| devices(&tenant, user).unwrap().len();
        let outgoing = Outgoing::new(OutgoingSettings::default(), SystemResolver).unwrap();
        let tell = Reconnects(Approvals::new(ApprovalSettings::default()));
        let vault = Vault::new(outgoing, Arc::new(Browsers), Arc::new(tell));
        forget_the_gone(&tenant, &vault, env).unwrap();
        tenant.delete_user("sarah", env).unwrap();
        assert_eq!(([count("sarah"), count("olga")], [roles("sarah"), roles("olga")], members()), ([1, 1], [1, 1], 2));
        forget_the_gone(&tenant, &vault, env).unwrap();
        assert_eq!(([count("sarah"), count("olga")], [roles("sarah"), roles("olga")], members()), ([0, 1], [0, 1], 1));
        assert!(tenant.gone_users(10).unwrap().is_empty());
    }

    #[test]
    fn an_agent_that_was_retired_leaves_no_credential() {
        let directory = tempfile::tempdir().unwrap();
        let identity = open(directory.path(), &[("a", 1)]);
        let settings = TenantSettings::default();
        let tenant = identity.create_tenant("t", "https://id.example", &settings, &env()).unwrap();
        furnish(&tenant);
        let outgoing = Outgoing::new(OutgoingSettings::default(), SystemResolver).unwrap();
        let tell = Reconnects(Approvals::new(ApprovalSettings::default()));
        let vault = Vault::new(outgoing, Arc::new(Browsers), Arc::new(tell));
        let connection = vault::get(&tenant, "model").unwrap();
        let held = || vault::credentials_for(&tenant, &connection, None, AGENTS).unwrap().len();
        tenant.delete_client("a0", &env()).unwrap(); // as the registry does when it retires one
        assert_eq!(held(), AGENTS);
        forget_the_gone(&tenant, &vault, &env()).unwrap();
        assert_eq!(held(), AGENTS - 1);
        let removed = tenant.engine().records(AUDIT).scan(&audit_key(tenant.number(), b'e'), None, 1_000).unwrap();
        let removed = removed.iter().map(|(_, bytes)| Event::read(bytes).unwrap());
        let removed: Vec<Event> = removed.filter(|event| event.kind() == EventKind::VaultRemoved).collect();
        assert_eq!((removed.len(), removed[0].details()["by"].as_str()), (1, "client.deleted"));
        assert!(tenant.gone_clients(10).unwrap().is_empty());
    }
}
