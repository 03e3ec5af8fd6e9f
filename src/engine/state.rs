//! The state of a database at one revision, how an entry of the log changes it, and the rows that keep it on disk.
//!
//! INVARIANT: the rows written for an entry hold exactly what the entry did to the state. So the tables can be read back
//! into the same state, and the log, applied from its beginning, gives it too; `verify` compares the three.

use super::collection::{self, Collection};
use super::entry::{Entry, RecordRow, subject_id};
use super::log::{self, Header, Touched};
use super::retained::kept_alive;
use super::tuple_rules::column_at;
use super::types::{Position, StoredModel};
use crate::index::{Class, ClassIx, ColumnIx, ColumnKey, IndexFull, StoreState, SubjectPart, Sums, TypeIx};
use crate::model::{Model, Rewrite, SubjectKind};
use crate::storage::{Batch, Fields, Key, Reading, Table};
use crate::tuple::{ModelId, Ordinal, Revision, StoreId, Timestamp, Tuple};
use crate::vector::RowStore;
use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One store at one revision.
#[derive(Clone, Debug)]
pub(crate) struct StoreEntry {
    pub(crate) number: u32,
    pub(crate) id: StoreId,
    pub(crate) name: Arc<str>,
    pub(crate) created_at: Timestamp,
    pub(crate) listed: bool,
    pub(crate) index: StoreState,
    /// In the order of writing.
    pub(crate) models: Arc<Vec<StoredModel>>,
    pub(crate) assertions: Arc<HashMap<ModelId, Arc<[u8]>>>,
    /// In the order of their numbers.
    pub(crate) collections: Arc<Vec<Arc<Collection>>>,
    /// Tuples written and deleted in the life of this program.
    pub(crate) tuple_changes: u64,
}

/// All stores at one revision. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) next_store: u32,
    /// Revisions up to this one are trimmed from the log.
    pub(crate) log_from: Revision,
    stores: rpds::HashTrieMapSync<StoreId, Arc<StoreEntry>>,
    numbers: rpds::HashTrieMapSync<u32, StoreId>,
}

/// An entry cannot be applied: what it names is not there. On replay this is damage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error(transparent)]
    Full(#[from] IndexFull),
    #[error("the entry does not fit the state")]
    Misfit,
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
}

/// Where the rows of entries go until they are committed together.
#[derive(Default)]
pub(crate) struct Sink<'a> {
    pub(crate) batch: Batch,
    /// Where the rows of new collections are kept.
    pub(crate) rows: RowStore,
    /// What is on disk; `None` on replay.
    pub(crate) reading: Option<Reading<'a>>,
    /// Positions of tuples that this batch writes.
    fresh: HashMap<(u32, ColumnIx, Ordinal, Ordinal), Position>,
    /// Stores that this batch changes.
    stores: HashSet<StoreId>,
    /// For each store, what changes in it.
    touched: BTreeMap<u32, Changed>,
    /// Stores that this batch deletes.
    deleted: BTreeSet<u32>,
    /// Collections that this batch changes, and how many of their chunks.
    chunks: BTreeMap<(StoreId, u32), u64>,
    /// Which subjects' tuples change, in stores with collections: what kept permission sets are compared with.
    pub(crate) edges: Vec<(u32, ColumnIx, Ordinal)>,
    /// Stores of which no change was told before, because they had no collection; and those that are gone (true).
    pub(crate) forgotten: Vec<(u32, bool)>,
    /// The newest time of a tuple change.
    at: i64,
}

/// The tuple changes of one store in a batch.
#[derive(Default)]
struct Changed {
    count: u64,
    /// The index of the last one.
    last: u32,
    /// The types of their objects.
    types: BTreeSet<u16>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(reading: Reading<'a>, rows: RowStore) -> Sink<'a> {
        Sink { reading: Some(reading), rows, ..Sink::default() }
    }

    /// For applying entries that are on disk already.
    pub(crate) fn of_replay(rows: &RowStore) -> Sink<'a> {
        Sink { rows: rows.clone(), ..Sink::default() }
    }

    /// Notes a change of chunks.
    pub(crate) fn touch_chunks(&mut self, store: StoreId, collection: u32, chunks: u64) {
        let count = self.chunks.entry((store, collection)).or_default();
        *count = count.saturating_add(chunks);
    }

    fn touch(&mut self, store: u32, index: u32, object_type: TypeIx, at: Timestamp) {
        let changed = self.touched.entry(store).or_default();
        changed.count += 1;
        changed.last = index;
        changed.types.insert(object_type.0);
        self.at = self.at.max(at.0);
    }

    /// The stores with collections that the batch changes.
    pub(crate) fn with_collections(&self, state: &Snapshot) -> Vec<StoreId> {
        let changed = self.stores.iter().filter_map(|id| state.store(*id));
        changed.filter(|store| !store.collections.is_empty()).map(|store| store.id).collect()
    }

    /// The header of the revision's row in the log.
    pub(crate) fn header(&self) -> Header {
        let touched = self.touched.iter().map(|(store, changed)| Touched {
            store: *store,
            last: changed.last,
            types: changed.types.iter().copied().collect(),
        });
        Header { at: self.at, touched: touched.collect() }
    }

    /// Bytes that the state before this batch keeps alive beside the one behind it, by an estimate.
    pub(crate) fn kept_alive(&self, before: &Snapshot) -> u64 {
        let tuples = |number: u32| {
            let store = before.by_number(number).and_then(|id| before.store(id));
            store.map_or(0, |store| store.index.tuple_count())
        };
        let changed = self.touched.iter().map(|(store, changed)| kept_alive(tuples(*store), changed.count));
        let collections = |number: u32| {
            let store = before.by_number(number).and_then(|id| before.store(id));
            let all = store.into_iter().flat_map(|store| store.collections.iter());
            all.map(|of| of.kept_alive(u64::MAX)).fold(0, u64::saturating_add)
        };
        let gone = |store: &u32| kept_alive(tuples(*store), u64::MAX).saturating_add(collections(*store));
        let deleted = self.deleted.iter().map(gone);
        let chunks = self.chunks.iter().map(|((store, collection), chunks)| {
            let found = before.store(*store).and_then(|store| store.collection_number(*collection));
            found.map_or(0, |collection| collection.kept_alive(*chunks))
        });
        changed.chain(deleted).chain(chunks).fold(0, u64::saturating_add)
    }

    /// Adds the rows of sums of the stores that were changed and are still there.
    pub(crate) fn put_sums(&mut self, state: &Snapshot) {
        for store in self.stores.iter().filter_map(|id| state.store(*id)) {
            self.batch.put(&Key::of(Table::Sums).u32(store.number), &sums_row(&store.index));
        }
        for (id, number) in self.chunks.keys() {
            let Some(store) = state.store(*id) else { continue };
            if let Some(collection) = store.collection_number(*number) {
                let key = Key::of(Table::ChunkSums).u32(store.number).u32(*number);
                self.batch.put(&key, &collection.sums_row());
            }
        }
    }
}

fn sums_row(index: &StoreState) -> Vec<u8> {
    let sums = index.sums();
    let types = index.type_count();
    let mut row = [sums.tuples.to_be_bytes(), sums.rows.to_be_bytes(), sums.names.to_be_bytes()].concat();
    row.extend_from_slice(&types.to_be_bytes());
    for t in 0..types {
        row.extend_from_slice(&index.names_len(TypeIx(t)).to_be_bytes());
    }
    row
}

/// Reads a row of `Sums`: the sums, and how many names each type has. `None`: damaged.
pub(crate) fn read_sums(value: &[u8]) -> Option<(Sums, Vec<u32>)> {
    let mut fields = Fields(value);
    let sums = Sums { tuples: fields.u64()?, rows: fields.u64()?, names: fields.u64()? };
    let types = fields.u16()?;
    let names = (0..types).map(|_| fields.u32()).collect::<Option<_>>()?;
    Some((sums, names))
}

/// The position in a value that begins with one. `None`: damaged.
pub(crate) fn value_position(value: &[u8]) -> Option<Position> {
    let mut fields = Fields(value);
    Some(Position { revision: Revision(fields.u64()?), index: fields.u32()? })
}

impl Snapshot {
    pub(crate) fn store(&self, id: StoreId) -> Option<&Arc<StoreEntry>> {
        self.stores.get(&id)
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = &Arc<StoreEntry>> {
        self.stores.values()
    }

    pub(crate) fn put(&mut self, entry: StoreEntry) {
        self.next_store = self.next_store.max(entry.number + 1);
        self.numbers.insert_mut(entry.number, entry.id);
        self.stores.insert_mut(entry.id, Arc::new(entry));
    }

    /// The store of that id, to be changed in place where no other snapshot shares it.
    pub(crate) fn store_mut(&mut self, id: StoreId) -> Option<&mut StoreEntry> {
        self.stores.get_mut(&id).map(Arc::make_mut)
    }

    /// Whether a store of that number is there.
    pub(crate) fn has_number(&self, number: u32) -> bool {
        self.by_number(number).is_some()
    }

    fn by_number(&self, number: u32) -> Option<StoreId> {
        self.numbers.get(&number).copied()
    }

    /// Applies an entry and adds the rows that keep its effect to `sink`. `index` numbers the tuple changes of one
    /// revision.
    pub(crate) fn apply(
        &mut self,
        id: Option<StoreId>,
        entry: &Entry,
        revision: Revision,
        index: &mut u32,
        sink: &mut Sink<'_>,
    ) -> Result<(), ApplyError> {
        if let Entry::Create { store, id, name, at, listed } = entry {
            self.put(StoreEntry {
                number: *store,
                id: StoreId(ulid::Ulid(*id)),
                name: name.as_str().into(),
                created_at: Timestamp(*at),
                listed: *listed,
                index: StoreState::default(),
                models: Arc::default(),
                assertions: Arc::default(),
                collections: Arc::default(),
                tuple_changes: 0,
            });
            sink.stores.insert(StoreId(ulid::Ulid(*id)));
            let row = log::encode(&Header::default(), std::slice::from_ref(entry)).ok_or(ApplyError::Misfit)?;
            sink.batch.put(&Key::of(Table::Stores).u32(*store), &row);
            sink.batch.put(&Key::of(Table::Meta).u16(2), &self.next_store.to_be_bytes());
            return Ok(());
        }
        if let Entry::Records { changes } = entry {
            for RecordRow(module, key, value) in changes {
                let at = super::records::prefix(module).tail(key);
                match value {
                    Some(value) => sink.batch.put(&at, value),
                    None => sink.batch.delete(&at),
                }
            }
            return Ok(());
        }
        let id = id.or_else(|| self.by_number(entry.store()?)).ok_or(ApplyError::Misfit)?;
        if let Entry::Delete { store } = entry {
            self.stores.remove_mut(&id);
            self.numbers.remove_mut(store);
            sink.deleted.insert(*store);
            sink.forgotten.push((*store, true));
            for table in PER_STORE {
                sink.batch.delete_prefix(&Key::of(table).u32(*store));
            }
            return Ok(());
        }
        let store = self.store_mut(id).ok_or(ApplyError::Misfit)?;
        sink.stores.insert(id);
        match entry {
            Entry::Create { .. } | Entry::Delete { .. } | Entry::Records { .. } => Err(ApplyError::Misfit),
            Entry::Model { id, model, .. } => store.add_model(*id, model, revision, sink),
            Entry::Assertions { model, body, .. } => {
                Arc::make_mut(&mut store.assertions).insert(ModelId(ulid::Ulid(*model)), body.as_slice().into());
                sink.batch.put(&Key::of(Table::Assertions).u32(store.number).u128(*model), body);
                Ok(())
            }
            Entry::Tuples { at, deletes, writes, .. } => {
                for tuple in deletes {
                    store.delete(tuple, *index, Timestamp(*at), sink)?;
                    *index += 1;
                }
                for tuple in writes {
                    store.write(tuple, Position { revision, index: *index }, Timestamp(*at), sink)?;
                    *index += 1;
                }
                Ok(())
            }
            Entry::Collection { .. } | Entry::DropCollection { .. } | Entry::Chunks { .. } => {
                collection::apply(store, entry, revision, sink)
            }
        }
    }
}

/// Tables whose keys begin with a store's number.
const PER_STORE: [Table; 19] = [
    Table::Stores,
    Table::Types,
    Table::Relations,
    Table::Columns,
    Table::Classes,
    Table::Names,
    Table::ByObject,
    Table::BySequence,
    Table::Models,
    Table::Assertions,
    Table::LogByStore,
    Table::LogByType,
    Table::Sums,
    Table::Collections,
    Table::ChunkSums,
    Table::Chunks,
    Table::Payloads,
    Table::Texts,
    Table::Graphs,
];

/// The row of a tuple in table `ByObject`, and in `BySequence` the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TupleRow {
    pub(crate) object_type: TypeIx,
    pub(crate) object: Ordinal,
    pub(crate) column: ColumnIx,
    pub(crate) subject: Ordinal,
    pub(crate) class: Option<ClassIx>,
    pub(crate) at: Timestamp,
    pub(crate) position: Position,
}

impl TupleRow {
    pub(crate) fn object_key(&self, store: u32) -> Key {
        let key = Key::of(Table::ByObject).u32(store).u16(self.object_type.0).u32(self.object.0);
        key.u16(self.column.0).u32(self.subject.0)
    }

    pub(crate) fn sequence_key(&self, store: u32) -> Key {
        Key::of(Table::BySequence).u32(store).u64(self.position.revision.0).u32(self.position.index)
    }

    fn tail(&self) -> ([u8; 8], [u8; 4]) {
        (self.at.0.to_be_bytes(), self.class.map_or(0, |c| c.0 + 1).to_be_bytes())
    }

    fn object_value(&self) -> Vec<u8> {
        let (at, class) = self.tail();
        [&self.position.revision.0.to_be_bytes()[..], &self.position.index.to_be_bytes(), &at, &class].concat()
    }

    fn sequence_value(&self) -> Vec<u8> {
        let (at, class) = self.tail();
        let place = [&self.object_type.0.to_be_bytes()[..], &self.object.0.to_be_bytes()].concat();
        [&place[..], &self.column.0.to_be_bytes(), &self.subject.0.to_be_bytes(), &at, &class].concat()
    }

    /// A row of which only the key is known.
    pub(crate) fn key_only(object_type: TypeIx, object: Ordinal, column: ColumnIx, subject: Ordinal) -> TupleRow {
        let position = Position { revision: Revision(0), index: 0 };
        TupleRow { object_type, object, column, subject, class: None, at: Timestamp(0), position }
    }

    /// The row with what its value in `ByObject` says. `None`: damaged.
    pub(crate) fn with_value(self, value: &[u8]) -> Option<TupleRow> {
        let mut value = Fields(value);
        let position = Position { revision: Revision(value.u64()?), index: value.u32()? };
        let at = Timestamp(value.u64()?.cast_signed());
        Some(TupleRow { position, at, class: value.u32()?.checked_sub(1).map(ClassIx), ..self })
    }

    /// Reads a row of `ByObject`; `key` is what follows the store. `None`: damaged.
    pub(crate) fn by_object(mut key: Fields<'_>, value: &[u8]) -> Option<TupleRow> {
        let object_type = TypeIx(key.u16()?);
        TupleRow::of_object_type(object_type, key, value)
    }

    /// The same; `key` is what follows the type.
    pub(crate) fn of_object_type(object_type: TypeIx, mut key: Fields<'_>, value: &[u8]) -> Option<TupleRow> {
        let (object, column, subject) = (key.u32()?, key.u16()?, key.u32()?);
        TupleRow::key_only(object_type, Ordinal(object), ColumnIx(column), Ordinal(subject)).with_value(value)
    }

    /// Reads a row of `BySequence`; `key` is what follows the store. `None`: damaged.
    pub(crate) fn by_sequence(mut key: Fields<'_>, value: &[u8]) -> Option<TupleRow> {
        let position = Position { revision: Revision(key.u64()?), index: key.u32()? };
        let mut value = Fields(value);
        let (t, object, column, subject) = (value.u16()?, value.u32()?, value.u16()?, value.u32()?);
        let at = Timestamp(value.u64()?.cast_signed());
        Some(TupleRow {
            object_type: TypeIx(t),
            object: Ordinal(object),
            column: ColumnIx(column),
            subject: Ordinal(subject),
            class: value.u32()?.checked_sub(1).map(ClassIx),
            at,
            position,
        })
    }
}

impl StoreEntry {
    /// The collection of that number.
    pub(crate) fn collection_number(&self, number: u32) -> Option<&Arc<Collection>> {
        let at = self.collections.binary_search_by_key(&number, |c| c.number).ok()?;
        self.collections.get(at)
    }

    /// The collection of that name.
    pub(crate) fn collection(&self, name: &str) -> Option<&Arc<Collection>> {
        self.collections.iter().find(|c| c.spec.name == name)
    }

    /// The model of that id.
    pub(crate) fn model(&self, id: ModelId) -> Option<&StoredModel> {
        self.models.iter().rev().find(|m| m.id == id)
    }

    fn add_model(&mut self, id: u128, model: &Model, at: Revision, sink: &mut Sink<'_>) -> Result<(), ApplyError> {
        for ty in &model.types {
            self.type_ix(&ty.name, sink)?;
        }
        for ty in &model.types {
            for relation in &ty.relations {
                self.relation_ix(&relation.name, sink)?;
                if holds_this(&relation.rewrite) {
                    for subject in &relation.subject_types {
                        let part = match &subject.kind {
                            SubjectKind::Object => SubjectPart::Object,
                            SubjectKind::Wildcard => SubjectPart::Wildcard,
                            SubjectKind::Userset(r) => SubjectPart::Userset(self.relation_ix(r, sink)?),
                        };
                        let key = ColumnKey {
                            object_type: self.type_ix(&ty.name, sink)?,
                            relation: self.relation_ix(&relation.name, sink)?,
                            subject_type: self.type_ix(&subject.object_type, sink)?,
                            part,
                        };
                        self.column_ix(&key, sink)?;
                    }
                }
            }
        }
        Arc::make_mut(&mut self.models)
            .push(StoredModel { id: ModelId(ulid::Ulid(id)), model: Arc::new(model.clone()) });
        let row = serde_json::to_vec(&(id.to_string(), model)).map_err(|_| ApplyError::Misfit)?;
        sink.batch.put(&Key::of(Table::Models).u32(self.number).u64(at.0).u128(id), &row);
        Ok(())
    }

    fn type_ix(&mut self, name: &str, sink: &mut Sink<'_>) -> Result<TypeIx, ApplyError> {
        if let Some(ix) = self.index.type_ix(name) {
            return Ok(ix);
        }
        let ix = self.index.intern_type(name)?;
        sink.batch.put(&Key::of(Table::Types).u32(self.number).u16(ix.0), name.as_bytes());
        Ok(ix)
    }

    fn relation_ix(&mut self, name: &str, sink: &mut Sink<'_>) -> Result<crate::index::RelationIx, ApplyError> {
        if let Some(ix) = self.index.relation_ix(name) {
            return Ok(ix);
        }
        let ix = self.index.intern_relation(name)?;
        sink.batch.put(&Key::of(Table::Relations).u32(self.number).u16(ix.0), name.as_bytes());
        Ok(ix)
    }

    fn column_ix(&mut self, key: &ColumnKey, sink: &mut Sink<'_>) -> Result<ColumnIx, ApplyError> {
        if let Some(ix) = self.index.column_ix(key) {
            return Ok(ix);
        }
        let ix = self.index.intern_column(key)?;
        let (part, relation) = match key.part {
            SubjectPart::Object => (0, 0),
            SubjectPart::Wildcard => (1, 0),
            SubjectPart::Userset(r) => (2, r.0),
        };
        let numbers = [key.object_type.0, key.relation.0, key.subject_type.0, part, relation];
        let row: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        sink.batch.put(&Key::of(Table::Columns).u32(self.number).u16(ix.0), &row);
        Ok(ix)
    }

    /// The ordinal of a name, which gets one when it has none.
    pub(crate) fn ordinal(&mut self, t: TypeIx, name: &str, sink: &mut Sink<'_>) -> Result<Ordinal, ApplyError> {
        let known = self.index.names_len(t);
        let ordinal = self.index.intern_name(t, name)?;
        if ordinal.0 >= known {
            sink.batch.put(&Key::of(Table::Names).u32(self.number).u16(t.0).u32(ordinal.0), name.as_bytes());
        }
        Ok(ordinal)
    }

    fn write(
        &mut self,
        tuple: &Tuple,
        position: Position,
        at: Timestamp,
        sink: &mut Sink<'_>,
    ) -> Result<(), ApplyError> {
        let column = column_at(&self.index, tuple).ok_or(ApplyError::Misfit)?;
        let key = self.index.column_key(column);
        let object = self.ordinal(key.object_type, &tuple.object.id, sink)?;
        let subject = match subject_id(&tuple.subject) {
            Some(id) => self.ordinal(key.subject_type, id, sink)?,
            None => Ordinal(0),
        };
        let mut class = None;
        if let Some(condition) = &tuple.condition {
            let known = self.index.class_count();
            let ix = self.index.intern_class(&condition.name, &condition.context);
            if ix.0 as usize >= known {
                let row = serde_json::to_vec(&(&condition.name, &condition.context)).map_err(|_| ApplyError::Misfit)?;
                sink.batch.put(&Key::of(Table::Classes).u32(self.number).u32(ix.0), &row);
            }
            class = Some(ix);
        }
        if !self.index.insert(column, object, subject, class) {
            return Err(ApplyError::Misfit);
        }
        let row = TupleRow { object_type: key.object_type, object, column, subject, class, at, position };
        sink.fresh.insert((self.number, column, object, subject), position);
        sink.touch(self.number, position.index, key.object_type, at);
        self.tell(column, subject, sink);
        sink.batch.put(&row.object_key(self.number), &row.object_value());
        sink.batch.put(&row.sequence_key(self.number), &row.sequence_value());
        Ok(())
    }

    fn delete(&mut self, tuple: &Tuple, index: u32, at: Timestamp, sink: &mut Sink<'_>) -> Result<(), ApplyError> {
        let (column, object, subject) = self.locate(tuple).ok_or(ApplyError::Misfit)?;
        if !self.index.remove(column, object, subject) {
            return Err(ApplyError::Misfit);
        }
        let object_type = self.index.column_key(column).object_type;
        sink.touch(self.number, index, object_type, at);
        self.tell(column, subject, sink);
        let mut row = TupleRow::key_only(object_type, object, column, subject);
        let position = row.position;
        let key = row.object_key(self.number);
        row.position = match sink.fresh.remove(&(self.number, column, object, subject)) {
            Some(position) => position,
            None => match sink.reading.as_ref().map(|r| r.get(&key)).transpose()?.flatten() {
                Some(value) => value_position(&value).ok_or(ApplyError::Misfit)?,
                None if sink.reading.is_none() => position, // a replay: rows are not kept
                None => return Err(ApplyError::Misfit),
            },
        };
        sink.batch.delete(&key);
        sink.batch.delete(&row.sequence_key(self.number));
        Ok(())
    }

    /// Tells kept permission sets of a change; without a collection there are none.
    fn tell(&mut self, column: ColumnIx, subject: Ordinal, sink: &mut Sink<'_>) {
        self.tuple_changes += 1;
        if !self.collections.is_empty() {
            sink.edges.push((self.number, column, subject));
        }
    }

    /// The tuple: absent, or present with its class, if any.
    pub(crate) fn class_of(&self, tuple: &Tuple) -> Option<Option<&Class>> {
        let (column, object, subject) = self.locate(tuple)?;
        let class = self.index.find(column, object, subject)?;
        Some(class.map(|class| self.index.class(class)))
    }

    /// Whether the tuple is there under the condition that it carries.
    pub(crate) fn holds(&self, tuple: &Tuple) -> bool {
        match (self.class_of(tuple), &tuple.condition) {
            (Some(None), None) => true,
            (Some(Some(class)), Some(given)) => class.condition == given.name && class.context == given.context,
            (None | Some(None), Some(_)) | (None | Some(Some(_)), None) => false,
        }
    }

    /// Where a tuple is, when its names and column are known.
    pub(crate) fn locate(&self, tuple: &Tuple) -> Option<(ColumnIx, Ordinal, Ordinal)> {
        let column = column_at(&self.index, tuple)?;
        let key = self.index.column_key(column);
        let object = self.index.ordinal(key.object_type, &tuple.object.id)?;
        let subject = match subject_id(&tuple.subject) {
            Some(id) => self.index.ordinal(key.subject_type, id)?,
            None => Ordinal(0),
        };
        Some((column, object, subject))
    }
}

/// Whether tuples can be written to a relation.
fn holds_this(rewrite: &Rewrite) -> bool {
    match rewrite {
        Rewrite::This => true,
        Rewrite::ComputedUserset { .. } | Rewrite::TupleToUserset { .. } => false,
        Rewrite::Union(children) | Rewrite::Intersection(children) => children.iter().any(holds_this),
        Rewrite::Exclusion { base, subtract } => holds_this(base) || holds_this(subtract),
    }
}
