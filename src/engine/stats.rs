//! What the database holds and what it costs; and whether what is in memory is what is on disk.

use super::state::Snapshot;
use super::{Engine, QuestionError, load};
use crate::tuple::{Revision, StoreId};

/// What one store holds.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreStats {
    /// The store.
    pub id: StoreId,
    /// Its name.
    pub name: String,
    /// How many tuples.
    pub tuples: u64,
    /// Bytes in memory of columns, near enough.
    pub column_bytes: usize,
    /// Bytes in memory of names, near enough.
    pub name_bytes: usize,
    /// Distinct (condition, stored context).
    pub classes: usize,
    /// Models.
    pub models: usize,
}

/// What the database holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// The newest revision.
    pub revision: Revision,
    /// Every store.
    pub stores: Vec<StoreStats>,
    /// Bytes on disk, near enough.
    pub disk_bytes: u64,
    /// Snapshots kept for questions about an exact revision.
    pub snapshots_retained: usize,
    /// Compiled plans kept.
    pub plans: usize,
}

impl Stats {
    /// Bytes in memory for each tuple, names included; 0 without tuples.
    #[must_use]
    pub fn bytes_per_tuple(&self) -> u64 {
        let bytes: usize = self.stores.iter().map(|s| s.column_bytes + s.name_bytes).sum();
        let tuples: u64 = self.stores.iter().map(|s| s.tuples).sum();
        (bytes as u64).checked_div(tuples).unwrap_or(0)
    }
}

/// What [`Engine::verify`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyReport {
    /// The revision that was verified.
    pub revision: Revision,
    /// Stores compared.
    pub stores: usize,
    /// Tuples compared.
    pub tuples: u64,
    /// What differs, in words; empty when all is well.
    pub differences: Vec<String>,
}

impl Engine {
    /// What the database holds and what it costs. Walks every column: seconds for many millions of tuples.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let snapshot = self.inner.snapshot.load();
        let stores = snapshot.stores().map(|s| {
            let (column_bytes, name_bytes) = s.index.bytes();
            StoreStats {
                id: s.id,
                name: s.name.clone(),
                tuples: s.index.tuple_count(),
                column_bytes,
                name_bytes,
                classes: s.index.class_count(),
                models: s.models.len(),
            }
        });
        Stats {
            revision: snapshot.revision,
            stores: stores.collect(),
            disk_bytes: self.inner.storage.disk_bytes(),
            snapshots_retained: self.inner.retained.lock().len(),
            plans: self.inner.plans.read().len(),
        }
    }

    /// Derives the index again, from the tables and from the log, and compares both with what answers questions.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn verify(&self) -> Result<VerifyReport, QuestionError> {
        let (reading, live) = self.reading()?;
        let mut differences = Vec::new();
        match load::load(&reading) {
            Ok(tables) => compare("the tables", &live, &tables, &mut differences),
            Err(what) => differences.push(format!("the tables cannot be read: {what}")),
        }
        match load::replay(&reading) {
            Ok(log) => {
                compare("the log", &live, &log.snapshot, &mut differences);
                let stored = load::record_hashes(&reading).map_err(|_| QuestionError::Storage)?;
                if stored != log.records {
                    differences.push("the log gives other module records than the tables".to_owned());
                }
            }
            Err(error) => differences.push(format!("the log cannot be replayed: {error}")),
        }
        let tuples = live.stores().map(|s| s.index.tuple_count()).sum();
        Ok(VerifyReport { revision: live.revision, stores: live.stores().count(), tuples, differences })
    }
}

fn compare(what: &str, live: &Snapshot, other: &Snapshot, differences: &mut Vec<String>) {
    if live.revision != other.revision {
        differences.push(format!("{what} end at revision {}, memory at {}", other.revision.0, live.revision.0));
    }
    if live.stores().count() != other.stores().count() {
        differences.push(format!("{what} hold {} stores", other.stores().count()));
    }
    for store in live.stores() {
        match other.store(store.id) {
            None => differences.push(format!("{what} lack store {}", store.id)),
            Some(o) if o.index.digest() != store.index.digest() => {
                differences.push(format!("{what} give another index of store {}", store.id));
            }
            Some(o) if o.models.len() != store.models.len() => {
                differences.push(format!("{what} hold other models of store {}", store.id));
            }
            Some(_) => {}
        }
    }
}
