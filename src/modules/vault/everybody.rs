//! What is held for anybody of a tenant, so that it leaves in nobody's answer. It is in memory, opened, from the tenant's first
//! call on, and follows the records: what was written since is read again before each call.

use super::filter::with_bytes;
use super::records::{
    Connection, Holder, KeyOf, Secret, VAULT, client_keys, client_secret, credential, every_credential, key_of, opened,
};
use crate::identity::{Answer, PAGE_MAX, Tenant, WriteMark, Written};
use crate::secrets::{HOLDINGS_MAX, Holdings};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use zeroize::Zeroizing;

/// See the file's head.
#[derive(Default)]
pub(super) struct Everybody {
    // INVARIANT: at most as many as there are tenants.
    tenants: Mutex<HashMap<u32, Arc<OfTenant>>>,
}

/// What is held for anybody of one tenant.
struct OfTenant {
    holdings: Arc<Holdings>,
    seen: Mutex<Seen>,
}

/// What was read of it so far.
#[derive(Default)]
struct Seen {
    upto: Option<WriteMark>,
    owners: HashSet<String>,
}

impl Everybody {
    /// What is held now.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn of(&self, tenant: &Tenant) -> Answer<Arc<Holdings>> {
        let new = || Arc::new(OfTenant { holdings: Arc::new(Holdings::new(HOLDINGS_MAX)), seen: Mutex::default() });
        let of_tenant = Arc::clone(self.tenants.lock().entry(tenant.number()).or_insert_with(new));
        let mut seen = of_tenant.seen.lock();
        let (written, upto) = tenant.written(VAULT, seen.upto);
        match written {
            Written::Keys(keys) => {
                for key in keys.iter().filter_map(|key| key_of(key)) {
                    of_tenant.read(tenant, &mut seen, &key)?;
                }
            }
            Written::Any => of_tenant.read_all(tenant, &mut seen)?,
        }
        seen.upto = Some(upto);
        Ok(Arc::clone(&of_tenant.holdings))
    }

    /// Looks for a secret that no record has, under a name that nothing else has.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn look_for(&self, tenant: &Tenant, owner: String, secret: &Secret) -> Answer<LookedFor> {
        let holdings = self.of(tenant)?;
        let texts = with_bytes(secret.texts().into_iter());
        put(tenant, &holdings, &owner, &texts.iter().map(|text| text.as_slice()).collect::<Vec<_>>());
        Ok(LookedFor { holdings, owner })
    }
}

/// A secret that is looked for in all answers as long as this lives.
#[derive(Debug)]
pub(super) struct LookedFor {
    holdings: Arc<Holdings>,
    owner: String,
}

impl Drop for LookedFor {
    fn drop(&mut self) {
        let _ = self.holdings.put(&self.owner, []); // nothing is no more than there may be
    }
}

impl OfTenant {
    fn read_all(&self, tenant: &Tenant, seen: &mut Seen) -> Answer<()> {
        let mut read = Seen::default();
        self.read_each(tenant, &mut read)?;
        // What is gone meanwhile has no record that would say so. All else was looked for without a break.
        for gone in seen.owners.difference(&read.owners) {
            self.put(tenant, gone, &[]);
        }
        seen.owners = read.owners;
        Ok(())
    }

    fn read_each(&self, tenant: &Tenant, seen: &mut Seen) -> Answer<()> {
        let mut after: Option<String> = None;
        loop {
            let page = tenant.list::<Connection>(&[], after.as_deref(), PAGE_MAX)?;
            for connection in &page {
                self.read(tenant, seen, &KeyOf::Connection(connection.spec.id.clone()))?;
            }
            after = page.last().map(|connection| connection.spec.id.clone());
            if page.len() < PAGE_MAX {
                break;
            }
        }
        every_credential(tenant, |held| {
            self.read(tenant, seen, &KeyOf::Credential(held.connection.clone(), held.holder.clone()))
        })
    }

    /// Reads a record, which may be gone. One that does not open is passed over, and the log says which: nobody can use it.
    fn read(&self, tenant: &Tenant, seen: &mut Seen, key: &KeyOf) -> Answer<()> {
        let (owner, texts) = match key {
            KeyOf::Connection(id) => {
                let connection = tenant.get::<Connection>(&[id.as_str()])?;
                let texts = connection.map_or(Ok(Vec::new()), |connection| of_connection(tenant, &connection));
                (format!("connection:{id}"), texts)
            }
            KeyOf::Credential(connection, holder) => {
                let held = credential(tenant, connection, holder)?;
                let secret = held.map(|held| opened(tenant, &held)).transpose();
                let secret = secret.map(|secret| with_bytes(secret.iter().flat_map(|secret| secret.texts())));
                (owner(connection, holder), secret)
            }
        };
        match texts {
            Ok(texts) => self.put(tenant, &owner, &texts.iter().map(|text| text.as_slice()).collect::<Vec<_>>()),
            Err(refusal) => {
                tracing::error!(tenant = tenant.name(), owner, %refusal, "a secret of the vault does not open and is looked for in no answer");
                self.put(tenant, &owner, &[]);
            }
        }
        seen.owners.insert(owner);
        Ok(())
    }

    fn put(&self, tenant: &Tenant, owner: &str, secrets: &[&[u8]]) {
        put(tenant, &self.holdings, owner, secrets);
    }
}

fn put(tenant: &Tenant, holdings: &Holdings, owner: &str, secrets: &[&[u8]]) {
    if let Err(full) = holdings.put(owner, secrets.iter().copied()) {
        tracing::error!(tenant = tenant.name(), owner, "{full}");
    }
}

/// By what a connection is known to its provider: its secret, and its keys.
fn of_connection(tenant: &Tenant, connection: &Connection) -> Answer<Vec<Zeroizing<Vec<u8>>>> {
    let secret = client_secret(tenant, connection)?;
    let mut texts = with_bytes(secret.iter().map(|secret| secret.as_str()));
    texts.extend(client_keys(tenant, connection)?);
    Ok(texts)
}

/// Who holds a credential, as the log has it.
fn owner(connection: &str, holder: &Holder) -> String {
    format!("{} connection:{connection}", holder.subject())
}
