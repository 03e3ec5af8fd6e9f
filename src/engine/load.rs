//! Reading a database back: from its tables (what a start does), and from its log (what `verify` compares with).

use super::entry::{Entry, RecordRow};
use super::state::{ApplyError, Sink, Snapshot, StoreEntry, TupleRow};
use super::types::StoredModel;
use crate::index::{ColumnKey, RelationIx, StoreState, SubjectPart, TypeIx};
use crate::model::Model;
use crate::storage::{Fields, Key, Reading, StorageError, Table};
use crate::tuple::{Context, ModelId, Revision, StoreId, Timestamp};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Reads the state from the tables.
///
/// # Errors
/// Which table is damaged.
pub(super) fn load(reading: &Reading<'_>) -> Result<Snapshot, &'static str> {
    let mut snapshot = Snapshot::default();
    let meta = |n| reading.get(&Key::of(Table::Meta).u16(n)).map_err(|_| "meta");
    if let Some(bytes) = meta(1)? {
        snapshot.revision = Revision(Fields(&bytes).u64().ok_or("head revision")?);
    }
    let mut entries = Vec::new();
    let read = reading.scan(&Key::of(Table::Stores), None, |_, value| {
        entries.push(serde_json::from_slice::<Entry>(value).map_err(|_| StorageError)?);
        Ok(true)
    });
    read.map_err(|_| "stores")?;
    for entry in entries {
        let Entry::Create { store, id, name, at, listed } = entry else { return Err("stores") };
        snapshot.put(StoreEntry {
            number: store,
            id: StoreId(ulid::Ulid(id)),
            name,
            created_at: Timestamp(at),
            listed,
            index: index(reading, store)?,
            models: models(reading, store).map_err(|_| "models")?,
            assertions: assertions(reading, store).map_err(|_| "assertions")?,
        });
    }
    if let Some(bytes) = meta(2)? {
        snapshot.next_store = Fields(&bytes).u32().ok_or("next store")?;
    }
    Ok(snapshot)
}

fn models(reading: &Reading<'_>, store: u32) -> Result<Vec<StoredModel>, StorageError> {
    let mut models = Vec::new();
    reading.scan(&Key::of(Table::Models).u32(store), None, |_, value| {
        let (id, model): (String, Model) = serde_json::from_slice(value).map_err(|_| StorageError)?;
        let id = ModelId(ulid::Ulid(id.parse().map_err(|_| StorageError)?));
        models.push(StoredModel { id, model: Arc::new(model) });
        Ok(true)
    })?;
    Ok(models)
}

fn assertions(reading: &Reading<'_>, store: u32) -> Result<HashMap<ModelId, Arc<[u8]>>, StorageError> {
    let mut assertions = HashMap::new();
    reading.scan(&Key::of(Table::Assertions).u32(store), None, |mut key, value| {
        assertions.insert(ModelId(ulid::Ulid(key.u128().ok_or(StorageError)?)), value.into());
        Ok(true)
    })?;
    Ok(assertions)
}

fn index(reading: &Reading<'_>, store: u32) -> Result<StoreState, &'static str> {
    let mut state = StoreState::default();
    dictionaries(reading, store, &mut state).map_err(|_| "dictionaries")?;
    let names = reading.scan(&Key::of(Table::Names).u32(store), None, |mut key, value| {
        let t = TypeIx(key.u16().ok_or(StorageError)?);
        let ordinal = state.intern_name(t, Fields(value).text().ok_or(StorageError)?).map_err(|_| StorageError)?;
        if key.u32() == Some(ordinal.0) { Ok(true) } else { Err(StorageError) }
    });
    names.map_err(|_| "names")?;
    let classes = reading.scan(&Key::of(Table::Classes).u32(store), None, |mut key, value| {
        let (condition, context): (String, Context) = serde_json::from_slice(value).map_err(|_| StorageError)?;
        let ix = state.intern_class(&condition, &context);
        if key.u32() == Some(ix.0) { Ok(true) } else { Err(StorageError) }
    });
    classes.map_err(|_| "classes")?;
    let tuples = reading.scan(&Key::of(Table::ByObject).u32(store), None, |key, value| {
        let row = TupleRow::by_object(key, value).ok_or(StorageError)?;
        if state.insert(row.column, row.object, row.subject, row.class) { Ok(true) } else { Err(StorageError) }
    });
    tuples.map_err(|_| "tuples")?;
    Ok(state)
}

fn dictionaries(reading: &Reading<'_>, store: u32, state: &mut StoreState) -> Result<(), StorageError> {
    let same = |read: Option<u16>, ix: u16| if read == Some(ix) { Ok(true) } else { Err(StorageError) };
    reading.scan(&Key::of(Table::Types).u32(store), None, |mut key, value| {
        let ix = state.intern_type(Fields(value).text().ok_or(StorageError)?).map_err(|_| StorageError)?;
        same(key.u16(), ix.0)
    })?;
    reading.scan(&Key::of(Table::Relations).u32(store), None, |mut key, value| {
        let ix = state.intern_relation(Fields(value).text().ok_or(StorageError)?).map_err(|_| StorageError)?;
        same(key.u16(), ix.0)
    })?;
    reading.scan(&Key::of(Table::Columns).u32(store), None, |mut key, value| {
        let mut fields = Fields(value);
        let mut next = || fields.u16().ok_or(StorageError);
        let (object_type, relation, subject_type, part, of) = (next()?, next()?, next()?, next()?, next()?);
        let part = match part {
            0 => SubjectPart::Object,
            1 => SubjectPart::Wildcard,
            2 => SubjectPart::Userset(RelationIx(of)),
            _ => return Err(StorageError),
        };
        let (object_type, subject_type) = (TypeIx(object_type), TypeIx(subject_type));
        let column = ColumnKey { object_type, relation: RelationIx(relation), subject_type, part };
        let ix = state.intern_column(&column).map_err(|_| StorageError)?;
        same(key.u16(), ix.0)
    })
}

/// What the log gives: the state, and each module record's key with a hash of its value.
pub(super) struct Replayed {
    pub(super) snapshot: Snapshot,
    pub(super) records: RecordHashes,
}

/// The keys of module records and the hashes of their values.
pub(super) type RecordHashes = BTreeMap<Vec<u8>, u64>;

fn hash(value: &[u8]) -> u64 {
    foldhash::fast::FixedState::with_seed(2).hash_one(value)
}

/// The module records on disk.
pub(super) fn record_hashes(reading: &Reading<'_>) -> Result<RecordHashes, StorageError> {
    let mut records = RecordHashes::new();
    reading.scan(&Key::of(Table::Records), None, |key, value| {
        records.insert([&[Table::Records as u8][..], key.0].concat(), hash(value));
        Ok(true)
    })?;
    Ok(records)
}

/// Applies the whole log to an empty state.
///
/// # Errors
/// An entry that cannot be read, or does not fit the state before it.
pub(super) fn replay(reading: &Reading<'_>) -> Result<Replayed, ApplyError> {
    let mut records = RecordHashes::new();
    let mut snapshot = Snapshot::default();
    let mut numbers: HashMap<u32, StoreId> = HashMap::new();
    let mut fault = None;
    let scanned = reading.scan(&Key::of(Table::Log), None, |mut key, value| {
        let revision = Revision(key.u64().ok_or(StorageError)?);
        let entries: Vec<Entry> = serde_json::from_slice(value).map_err(|_| StorageError)?;
        let mut index = 0;
        for entry in &entries {
            if let Entry::Create { store, id, .. } = entry {
                numbers.insert(*store, StoreId(ulid::Ulid(*id)));
            }
            if let Entry::Records { changes } = entry {
                for RecordRow(module, key, value) in changes {
                    let key = super::records::prefix(module).tail(key).bytes().to_vec();
                    match value {
                        Some(value) => records.insert(key, hash(value)),
                        None => records.remove(&key),
                    };
                }
            }
            let id = entry.store().and_then(|store| numbers.get(&store)).copied();
            if let Err(error) = snapshot.apply(id, entry, revision, &mut index, &mut Sink::default()) {
                fault = Some(error);
                return Ok(false);
            }
        }
        snapshot.revision = revision;
        Ok(true)
    });
    scanned?;
    fault.map_or(Ok(Replayed { snapshot, records }), Err)
}
