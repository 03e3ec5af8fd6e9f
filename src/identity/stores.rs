//! Data stores of a tenant: what its own servers may ask of the engine. Who runs the database says which; an administrator of
//! the tenant can name no other, so that nobody looks into the stores of another tenant.

use super::{Answer, Env, ErrorCode, EventKind, Outcome, Refusal, Seconds, Stored, Tenant};
use crate::tuple::StoreId;
use serde::{Deserialize, Serialize};

/// Most data stores of a tenant.
pub const DATA_STORES_MAX: usize = 100;

/// That a store is a tenant's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attached {
    at: Seconds,
}

impl Stored for Attached {
    const SORT: u8 = b'T';
    const WHAT: &'static str = "data store of a tenant";
}

impl Tenant {
    /// Lets the tenant's servers ask a store, or no longer. Nothing happens when it is so already.
    ///
    /// # Errors
    /// There is no such store, or there are [`DATA_STORES_MAX`] already.
    pub fn attach_store(&self, store: StoreId, attached: bool, env: &Env<'_>) -> Answer<()> {
        let id = store.to_string();
        let held = self.get::<Attached>(&[&id])?;
        let mut change = self.change(env);
        match (&held, attached) {
            (None, true) => {
                self.engine().store(store).map_err(|_| Refusal::not_found("store"))?;
                if self.data_stores()?.len() >= DATA_STORES_MAX {
                    let text = format!("a tenant has at most {DATA_STORES_MAX} data stores");
                    return Err(Refusal::new(ErrorCode::Conflict, "store.max", text));
                }
                change.create(&[&id], &Attached { at: env.seconds() });
            }
            (Some(held), false) => change.remove(held),
            (Some(_), true) | (None, false) => return Ok(()),
        }
        let event = self.event(EventKind::AdminChanged, Outcome::Done, env).resource(self.object());
        change.event(&event.action(if attached { "store.attach" } else { "store.detach" }).detail("store", &id));
        change.commit()?;
        Ok(())
    }

    /// The data stores of the tenant.
    ///
    /// # Errors
    /// The disk failed.
    pub fn data_stores(&self) -> Answer<Vec<StoreId>> {
        let held = self.list::<Attached>(&[], None, DATA_STORES_MAX)?;
        let id = |text: String| ulid::Ulid::from_string(&text).map(StoreId);
        held.iter()
            .map(|held| id(held.last()).map_err(|error| Refusal::failed("store.damaged", error.to_string())))
            .collect()
    }

    /// Whether a store is one of the tenant's.
    ///
    /// # Errors
    /// The disk failed.
    pub fn has_store(&self, store: StoreId) -> Answer<bool> {
        Ok(self.get::<Attached>(&[&store.to_string()])?.is_some())
    }
}
