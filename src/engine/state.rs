//! The state of a database at one revision, how an entry of the log changes it, and the rows that keep it on disk.
//!
//! INVARIANT: the rows written for an entry hold exactly what the entry did to the state. So the tables can be read back
//! into the same state, and the log, applied from its beginning, gives it too; `verify` compares the three.

use super::entry::{Entry, RecordRow, Row, subject_id};
use super::tuple_rules::column_at;
use super::types::{Position, StoredModel};
use crate::index::{ClassIx, ColumnIx, ColumnKey, IndexFull, StoreState, SubjectPart, TypeIx};
use crate::model::{Model, Rewrite, SubjectKind};
use crate::storage::{Batch, Key, Reading, Table};
use crate::tuple::{ModelId, Ordinal, Revision, StoreId, Timestamp, Tuple};
use hashbrown::HashMap;
use std::sync::Arc;

/// One store at one revision.
#[derive(Clone, Debug)]
pub(crate) struct StoreEntry {
    pub(crate) number: u32,
    pub(crate) id: StoreId,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) listed: bool,
    pub(crate) index: StoreState,
    /// In the order of writing.
    pub(crate) models: Vec<StoredModel>,
    pub(crate) assertions: HashMap<ModelId, Arc<[u8]>>,
}

/// All stores at one revision. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) next_store: u32,
    stores: rpds::HashTrieMapSync<StoreId, Arc<StoreEntry>>,
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
    /// What is on disk; `None` on replay.
    pub(crate) reading: Option<Reading<'a>>,
    /// Positions of tuples that this batch writes.
    fresh: HashMap<(u32, ColumnIx, Ordinal, Ordinal), Position>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(reading: Reading<'a>) -> Sink<'a> {
        Sink { reading: Some(reading), ..Sink::default() }
    }
}

fn value_position(value: &[u8]) -> Option<Position> {
    let mut fields = crate::storage::Fields(value);
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
        self.stores.insert_mut(entry.id, Arc::new(entry));
    }

    /// The store of that id, to be changed in place where no other snapshot shares it.
    pub(crate) fn store_mut(&mut self, id: StoreId) -> Option<&mut StoreEntry> {
        self.stores.get_mut(&id).map(Arc::make_mut)
    }

    fn by_number(&self, number: u32) -> Option<StoreId> {
        self.stores.values().find(|s| s.number == number).map(|s| s.id)
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
                name: name.clone(),
                created_at: Timestamp(*at),
                listed: *listed,
                index: StoreState::default(),
                models: Vec::new(),
                assertions: HashMap::new(),
            });
            let row = serde_json::to_vec(entry).map_err(|_| ApplyError::Misfit)?;
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
            for table in PER_STORE {
                sink.batch.delete_prefix(&Key::of(table).u32(*store));
            }
            return Ok(());
        }
        let store = self.store_mut(id).ok_or(ApplyError::Misfit)?;
        match entry {
            Entry::Create { .. } | Entry::Delete { .. } | Entry::Records { .. } => Err(ApplyError::Misfit),
            Entry::Model { id, model, .. } => store.add_model(*id, model, revision, sink),
            Entry::Assertions { model, body, .. } => {
                store.assertions.insert(ModelId(ulid::Ulid(*model)), body.as_slice().into());
                sink.batch.put(&Key::of(Table::Assertions).u32(store.number).u128(*model), body);
                Ok(())
            }
            Entry::Tuples { at, deletes, writes, .. } => {
                for row in deletes {
                    store.delete(row, sink)?;
                    *index += 1;
                }
                for row in writes {
                    store.write(row, Position { revision, index: *index }, Timestamp(*at), sink)?;
                    *index += 1;
                }
                Ok(())
            }
        }
    }
}

/// Tables whose keys begin with a store's number.
const PER_STORE: [Table; 11] = [
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
];

/// The row of a tuple in table `ByObject`, and in `BySequence` the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Reads a row of `ByObject`; `key` is what follows the store. `None`: damaged.
    pub(crate) fn by_object(mut key: crate::storage::Fields<'_>, value: &[u8]) -> Option<TupleRow> {
        let (t, object, column, subject) = (key.u16()?, key.u32()?, key.u16()?, key.u32()?);
        let mut value = crate::storage::Fields(value);
        let position = Position { revision: Revision(value.u64()?), index: value.u32()? };
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

    /// Reads a row of `BySequence`; `key` is what follows the store. `None`: damaged.
    pub(crate) fn by_sequence(mut key: crate::storage::Fields<'_>, value: &[u8]) -> Option<TupleRow> {
        let position = Position { revision: Revision(key.u64()?), index: key.u32()? };
        let mut value = crate::storage::Fields(value);
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
        self.models.push(StoredModel { id: ModelId(ulid::Ulid(id)), model: Arc::new(model.clone()) });
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

    fn ordinal(&mut self, t: TypeIx, name: &str, sink: &mut Sink<'_>) -> Result<Ordinal, ApplyError> {
        let known = self.index.names_len(t);
        let ordinal = self.index.intern_name(t, name)?;
        if ordinal.0 >= known {
            sink.batch.put(&Key::of(Table::Names).u32(self.number).u16(t.0).u32(ordinal.0), name.as_bytes());
        }
        Ok(ordinal)
    }

    fn write(&mut self, row: &Row, position: Position, at: Timestamp, sink: &mut Sink<'_>) -> Result<(), ApplyError> {
        let tuple = row.tuple().ok_or(ApplyError::Misfit)?;
        let column = column_at(&self.index, &tuple).ok_or(ApplyError::Misfit)?;
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
        sink.batch.put(&row.object_key(self.number), &row.object_value());
        sink.batch.put(&row.sequence_key(self.number), &row.sequence_value());
        Ok(())
    }

    fn delete(&mut self, row: &Row, sink: &mut Sink<'_>) -> Result<(), ApplyError> {
        let tuple = row.tuple().ok_or(ApplyError::Misfit)?;
        let (column, object, subject) = self.locate(&tuple).ok_or(ApplyError::Misfit)?;
        if !self.index.remove(column, object, subject) {
            return Err(ApplyError::Misfit);
        }
        let object_type = self.index.column_key(column).object_type;
        let position = Position { revision: Revision(0), index: 0 };
        let mut row = TupleRow { object_type, object, column, subject, class: None, at: Timestamp(0), position };
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
