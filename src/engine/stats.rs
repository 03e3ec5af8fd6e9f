//! What the database holds and what it costs; and whether what is in memory is what is on disk.

use super::collection;
use super::replay::{self, Touched};
use super::state::{ApplyError, Snapshot, StoreEntry, TupleRow};
use super::{Engine, QuestionError, StorageMemory, load};
use crate::storage::{Key, Reading, StorageError, Table};
use crate::tuple::{Revision, StoreId};
use crate::vector::RowStore;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

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
    /// Revisions up to this one are no longer in the log; 0 when it is whole.
    pub log_from: Revision,
    /// Snapshots kept for questions about an exact revision.
    pub snapshots_retained: usize,
    /// Bytes in memory that only they keep, by an estimate from above.
    pub snapshot_bytes: u64,
    /// Bytes in memory of the storage below the index.
    pub storage: StorageMemory,
    /// Compiled plans kept.
    pub plans: usize,
    /// Permission sets kept between searches.
    pub search_sets: usize,
    /// Bytes that they take, near enough.
    pub search_set_bytes: usize,
}

impl Stats {
    /// Bytes in memory of columns and names of all stores, retained snapshots and the storage, near enough. What the
    /// process takes beyond is the program, its threads, compiled plans, and what the allocator holds back.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let index: usize = self.stores.iter().map(|s| s.column_bytes + s.name_bytes).sum();
        let storage = self.storage.write_buffers + self.storage.block_cache + self.storage.table_readers;
        index as u64 + self.snapshot_bytes + storage
    }

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
                name: s.name.to_string(),
                tuples: s.index.tuple_count(),
                column_bytes,
                name_bytes,
                classes: s.index.class_count(),
                models: s.models.len(),
            }
        });
        let (snapshots_retained, snapshot_bytes) = self.inner.retained.size();
        let (search_sets, search_set_bytes) = self.inner.kept.size();
        Stats {
            revision: snapshot.revision,
            stores: stores.collect(),
            disk_bytes: self.inner.storage.disk_bytes(),
            log_from: snapshot.log_from,
            snapshots_retained,
            snapshot_bytes,
            storage: self.inner.storage.memory(),
            plans: self.inner.plans.read().len(),
            search_sets,
            search_set_bytes,
        }
    }

    /// Derives the index again, from the tables and from the log, and compares both with what answers questions. Of a log
    /// whose beginning was trimmed, the last change of every tuple and record in it is compared.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn verify(&self) -> Result<VerifyReport, QuestionError> {
        let (reading, live) = self.reading()?;
        let mut differences = Vec::new();
        match load::load(&reading, &self.inner.rows) {
            Ok(tables) => compare("the tables", &live, &tables, &mut differences),
            Err(what) => differences.push(format!("the tables cannot be read: {what}")),
        }
        let tables = |table| row_sums(&reading, table).map_err(|_| QuestionError::Storage);
        if tables(Table::BySequence)? != tables(Table::ByObject)? {
            differences.push("the tables of tuples by object and by sequence differ".to_owned());
        }
        for store in live.stores() {
            for of in store.collections.iter() {
                let fit = collection::texts_fit(&reading, store.number, of).map_err(|_| QuestionError::Storage)?;
                if !fit {
                    let name = &of.spec.name;
                    differences.push(format!("texts of collection {name} of store {} differ", store.id));
                }
            }
        }
        let log = if live.log_from == Revision(0) {
            whole_log(&reading, &self.inner.rows, &live, &mut differences)
        } else {
            end_of_log(&reading, &live, &mut differences)
        };
        match log {
            Err(ApplyError::Storage(_)) => return Err(QuestionError::Storage),
            Err(error) => differences.push(format!("the log cannot be replayed: {error}")),
            Ok(()) => {}
        }
        let tuples = live.stores().map(|s| s.index.tuple_count()).sum();
        Ok(VerifyReport { revision: live.revision, stores: live.stores().count(), tuples, differences })
    }
}

/// For each store, how many tuples a table of tuples holds, and an order-free sum over all that their rows say.
fn row_sums(reading: &Reading<'_>, table: Table) -> Result<BTreeMap<u32, (u64, u64)>, StorageError> {
    let hasher = foldhash::fast::FixedState::with_seed(4);
    let mut sums: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    reading.scan(&Key::of(table), None, |mut key, value| {
        let store = key.u32().ok_or(StorageError)?;
        let by_object = table == Table::ByObject;
        let row = if by_object { TupleRow::by_object(key, value) } else { TupleRow::by_sequence(key, value) };
        let row = row.ok_or(StorageError)?;
        let (count, sum) = sums.entry(store).or_default();
        *count += 1;
        *sum = sum.wrapping_add(hasher.hash_one(row));
        Ok(true)
    })?;
    Ok(sums)
}

fn whole_log(
    reading: &Reading<'_>,
    rows: &RowStore,
    live: &Snapshot,
    differences: &mut Vec<String>,
) -> Result<(), ApplyError> {
    let log = replay::whole(reading, rows)?;
    compare("the log", live, &log.snapshot, differences);
    if replay::record_hashes(reading)? != log.records {
        differences.push("the log gives other module records than the tables".to_owned());
    }
    Ok(())
}

fn end_of_log(reading: &Reading<'_>, live: &Snapshot, differences: &mut Vec<String>) -> Result<(), ApplyError> {
    let Touched { revision, tuples, records } = replay::end(reading)?;
    if revision != live.revision {
        differences.push(format!("the log ends at revision {}, memory at {}", revision.0, live.revision.0));
    }
    for store in live.stores() {
        let own = tuples.iter().filter(|((number, _), _)| *number == store.number);
        let differs = |tuple, written| if written { !store.holds(tuple) } else { store.class_of(tuple).is_some() };
        let wrong = own.filter(|(_, (tuple, written))| differs(tuple, *written)).count();
        if wrong > 0 {
            differences.push(format!("the log gives {wrong} tuples of store {} otherwise than memory", store.id));
        }
    }
    let stored = replay::record_hashes(reading)?;
    let differs = records.iter().filter(|(key, hash)| stored.get(*key).copied().flatten() != **hash).count();
    if differs > 0 {
        differences.push(format!("the log gives {differs} module records otherwise than the tables"));
    }
    Ok(())
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
            Some(o) if !same_collections(o, store) => {
                differences.push(format!("{what} give other chunks of store {}", store.id));
            }
            Some(o)
                if o.assertions != store.assertions
                    || o.models.len() != store.models.len()
                    || o.models.iter().zip(store.models.iter()).any(|(a, b)| (a.id, &a.model) != (b.id, &b.model)) =>
            {
                differences.push(format!("{what} hold other models or assertions of store {}", store.id));
            }
            Some(_) => {}
        }
    }
}

fn same_collections(a: &StoreEntry, b: &StoreEntry) -> bool {
    let what = |store: &StoreEntry| -> Vec<_> {
        let each = store.collections.iter().map(|c| (c.number, Arc::clone(&c.spec), c.created_at, c.digest()));
        each.collect()
    };
    what(a) == what(b)
}
