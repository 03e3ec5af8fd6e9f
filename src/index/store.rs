//! The state of one store: dictionaries, names, columns, classes. A clone is cheap and immutable towards its origin;
//! only the writer builds on one.

use super::column::{Column, ColumnKey, Half, SubjectPart};
use super::names::{NAMES_MAX, Names, NamesPart, sum_of};
use super::presence::Presence;
use super::{ClassIx, ColumnIx, RelationIx, TypeIx};
use crate::tuple::{Context, Ordinal};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The most types, relations and columns of a store.
pub const DICTIONARY_MAX: usize = 65_534;

/// A dictionary of the store is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of the store are at their bound of {max}")]
pub struct IndexFull {
    /// Which.
    pub what: &'static str,
    /// The bound.
    pub max: u64,
}

/// A distinct (condition, stored context).
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The condition's name.
    pub condition: String,
    /// What the tuples of the class store with it.
    pub context: Context,
}

/// Short lists that only grow and are shared by all states until they do.
#[derive(Clone)]
struct Dictionary<K> {
    list: Vec<K>,
    by_key: HashMap<K, u16>,
}

impl<K> Default for Dictionary<K> {
    fn default() -> Self {
        Dictionary { list: Vec::new(), by_key: HashMap::new() }
    }
}

impl<K: Clone + Eq + std::hash::Hash> Dictionary<K> {
    fn intern(dictionary: &mut Arc<Self>, key: &K, what: &'static str) -> Result<u16, IndexFull> {
        if let Some(ix) = dictionary.by_key.get(key) {
            return Ok(*ix);
        }
        let full = IndexFull { what, max: DICTIONARY_MAX as u64 };
        let ix = u16::try_from(dictionary.list.len()).ok().filter(|i| usize::from(*i) < DICTIONARY_MAX).ok_or(full)?;
        let own = Arc::make_mut(dictionary);
        own.list.push(key.clone());
        own.by_key.insert(key.clone(), ix);
        Ok(ix)
    }
}

#[derive(Clone, Default)]
struct Classes {
    list: Arc<boxcar::Vec<Class>>,
    by_text: Arc<parking_lot::RwLock<HashMap<(String, String), ClassIx>>>,
}

/// How many tuples a state holds, and sums over the rows that keep tuples and names on disk. A sum does not depend on the
/// order; a row that is missing, changed or there twice gives another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Tuples.
    pub tuples: u64,
    /// Over (column, object, subject, class).
    pub rows: u64,
    /// Over (type, ordinal, name), and over the dictionaries and classes.
    pub names: u64,
}

impl Sums {
    /// Adds a tuple's row.
    pub fn add(&mut self, column: ColumnIx, object: Ordinal, subject: Ordinal, class: Option<ClassIx>) {
        self.tuples += 1;
        self.rows = self.rows.wrapping_add(row_sum(column, object, subject, class));
    }

    fn take(&mut self, column: ColumnIx, object: Ordinal, subject: Ordinal, class: Option<ClassIx>) {
        self.tuples -= 1;
        self.rows = self.rows.wrapping_sub(row_sum(column, object, subject, class));
    }

    /// Adds a name's row.
    pub fn add_name(&mut self, object_type: TypeIx, ordinal: Ordinal, name: &str) {
        self.names = self.names.wrapping_add(sum_of(object_type.0, ordinal.0, name));
    }

    /// Adds the sums of other rows.
    pub fn merge(&mut self, other: &Sums) {
        self.tuples += other.tuples;
        self.rows = self.rows.wrapping_add(other.rows);
        self.names = self.names.wrapping_add(other.names);
    }
}

fn row_sum(column: ColumnIx, object: Ordinal, subject: Ordinal, class: Option<ClassIx>) -> u64 {
    FixedState::with_seed(3).hash_one((column.0, object.0, subject.0, class.map_or(0, |c| c.0 + 1)))
}

/// See the file's head.
#[derive(Clone, Default)]
pub struct StoreState {
    types: Arc<Dictionary<String>>,
    relations: Arc<Dictionary<String>>,
    keys: Arc<Dictionary<ColumnKey>>,
    names: Vec<Names>,
    /// Shared by states until they change; empty ones by all stores.
    columns: Vec<Arc<Column>>,
    presence: Presence,
    classes: Option<Classes>,
    sums: Sums,
}

impl std::fmt::Debug for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreState").field("sums", &self.sums).finish_non_exhaustive()
    }
}

static EMPTY: std::sync::LazyLock<Arc<Column>> = std::sync::LazyLock::new(Arc::default);
static NO_CLASS: std::sync::LazyLock<Class> =
    std::sync::LazyLock::new(|| Class { condition: String::new(), context: Context::new() });

impl StoreState {
    /// The number of a type.
    #[must_use]
    pub fn type_ix(&self, name: &str) -> Option<TypeIx> {
        self.types.by_key.get(name).copied().map(TypeIx)
    }

    /// The number of a relation.
    #[must_use]
    pub fn relation_ix(&self, name: &str) -> Option<RelationIx> {
        self.relations.by_key.get(name).copied().map(RelationIx)
    }

    /// The type of that number; empty when there is none.
    #[must_use]
    pub fn type_name(&self, ix: TypeIx) -> &str {
        self.types.list.get(usize::from(ix.0)).map_or("", String::as_str)
    }

    /// The relation of that number; empty when there is none.
    #[must_use]
    pub fn relation_name(&self, ix: RelationIx) -> &str {
        self.relations.list.get(usize::from(ix.0)).map_or("", String::as_str)
    }

    /// The number of a column.
    #[must_use]
    pub fn column_ix(&self, key: &ColumnKey) -> Option<ColumnIx> {
        self.keys.by_key.get(key).copied().map(ColumnIx)
    }

    /// What identifies a column.
    #[must_use]
    pub fn column_key(&self, ix: ColumnIx) -> ColumnKey {
        let none = ColumnKey {
            object_type: TypeIx(u16::MAX),
            relation: RelationIx(u16::MAX),
            subject_type: TypeIx(u16::MAX),
            part: SubjectPart::Object,
        };
        self.keys.list.get(usize::from(ix.0)).copied().unwrap_or(none)
    }

    /// A column; an empty one when the number is unknown to this state.
    #[must_use]
    pub fn column(&self, ix: ColumnIx) -> &Column {
        self.columns.get(usize::from(ix.0)).unwrap_or_else(|| &*EMPTY)
    }

    /// In which columns a subject is named, as bits; see [`StoreState::column_bit`].
    #[must_use]
    pub fn presence(&self, subject_type: TypeIx, subject: Ordinal) -> u64 {
        self.presence.word(subject_type, subject)
    }

    /// The bit of a column in the word of [`StoreState::presence`]. Where it is not set, the column does not name the subject;
    /// where it is, it may.
    #[must_use]
    pub fn column_bit(&self, ix: ColumnIx) -> u64 {
        self.presence.bit(ix)
    }

    /// All columns.
    pub fn columns(&self) -> impl Iterator<Item = (ColumnIx, ColumnKey, &Column)> {
        self.columns.iter().zip(&self.keys.list).zip(0_u16..).map(|((c, k), i)| (ColumnIx(i), *k, &**c))
    }

    /// The ordinal of a name, when this state may see it.
    #[must_use]
    pub fn ordinal(&self, object_type: TypeIx, name: &str) -> Option<Ordinal> {
        self.names.get(usize::from(object_type.0))?.find(name)
    }

    /// The name of an ordinal, when this state may see it.
    #[must_use]
    pub fn name(&self, object_type: TypeIx, ordinal: Ordinal) -> Option<&str> {
        self.names.get(usize::from(object_type.0))?.get(ordinal)
    }

    /// How many names of a type this state may see.
    #[must_use]
    pub fn names_len(&self, object_type: TypeIx) -> u32 {
        self.names.get(usize::from(object_type.0)).map_or(0, Names::len)
    }

    /// A class.
    #[must_use]
    pub fn class(&self, ix: ClassIx) -> &Class {
        self.classes.as_ref().and_then(|c| c.list.get(ix.0 as usize)).unwrap_or(&NO_CLASS)
    }

    /// How many classes were ever met.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.classes.as_ref().map_or(0, |c| c.list.count())
    }

    /// How many tuples.
    #[must_use]
    pub fn tuple_count(&self) -> u64 {
        self.sums.tuples
    }

    /// How many tuples, and the sums over the rows that keep this state.
    #[must_use]
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// How many types there are.
    #[must_use]
    pub fn type_count(&self) -> u16 {
        u16::try_from(self.names.len()).unwrap_or(u16::MAX)
    }

    /// Whether so many more types, relations and columns have room. Asked before anything of a change is done, so that a
    /// full dictionary refuses it whole.
    pub fn room(&self, types: usize, relations: usize, columns: usize) -> Result<(), IndexFull> {
        let asked = [
            ("types", self.types.list.len() + types),
            ("relations", self.relations.list.len() + relations),
            ("columns", self.keys.list.len() + columns),
        ];
        match asked.into_iter().find(|(_, wanted)| *wanted > DICTIONARY_MAX) {
            Some((what, _)) => Err(IndexFull { what, max: DICTIONARY_MAX as u64 }),
            None => Ok(()),
        }
    }

    /// Whether every type has room for so many more names.
    pub fn names_room(&self, names: usize) -> Result<(), IndexFull> {
        let longest = self.names.iter().map(Names::len).max().unwrap_or(0);
        if longest as usize + names <= NAMES_MAX as usize {
            return Ok(());
        }
        Err(IndexFull { what: "names of a type", max: u64::from(NAMES_MAX) })
    }

    /// Takes over the names of a type, the columns and the sums that a start has read.
    pub(crate) fn loaded(
        &mut self,
        names: Vec<(TypeIx, Vec<NamesPart>)>,
        columns: Vec<(ColumnIx, Half, Half)>,
        sums: Sums,
    ) -> bool {
        for (t, parts) in names {
            let (Some(own), Some(names)) = (self.names.get_mut(usize::from(t.0)), Names::from_parts(parts)) else {
                return false;
            };
            *own = names;
        }
        for (ix, by_object, by_subject) in columns {
            let Some(own) = self.columns.get_mut(usize::from(ix.0)) else { return false };
            *own = Arc::new(Column::from_halves(by_object, by_subject));
        }
        let names: Vec<u32> = self.names.iter().map(Names::len).collect();
        let columns = (0_u16..).map(ColumnIx).zip(self.columns.iter().map(|c| &**c));
        self.presence.fill(columns, &names);
        self.sums = sums;
        true
    }

    /// Numbers a type.
    pub fn intern_type(&mut self, name: &str) -> Result<TypeIx, IndexFull> {
        let ix = Dictionary::intern(&mut self.types, &name.to_owned(), "types")?;
        if usize::from(ix) >= self.names.len() {
            self.add_entry(0, u32::from(ix), &name);
            self.names.push(Names::default());
        }
        Ok(TypeIx(ix))
    }

    /// Numbers a relation.
    pub fn intern_relation(&mut self, name: &str) -> Result<RelationIx, IndexFull> {
        let known = self.relations.list.len();
        let ix = Dictionary::intern(&mut self.relations, &name.to_owned(), "relations")?;
        if usize::from(ix) >= known {
            self.add_entry(1, u32::from(ix), &name);
        }
        Ok(RelationIx(ix))
    }

    /// Numbers a column.
    pub fn intern_column(&mut self, key: &ColumnKey) -> Result<ColumnIx, IndexFull> {
        let ix = Dictionary::intern(&mut self.keys, key, "columns")?;
        if usize::from(ix) >= self.columns.len() {
            self.add_entry(2, u32::from(ix), key);
            self.columns.push(Arc::clone(&EMPTY));
            self.presence.add_column(key);
        }
        Ok(ColumnIx(ix))
    }

    /// Numbers a name. Only the writer, on its newest state.
    pub fn intern_name(&mut self, object_type: TypeIx, name: &str) -> Result<Ordinal, IndexFull> {
        let full = IndexFull { what: "names of a type", max: u64::from(NAMES_MAX) };
        let names = self.names.get_mut(usize::from(object_type.0)).ok_or(full)?;
        if let Some(ordinal) = names.find(name) {
            return Ok(ordinal);
        }
        let ordinal = names.push(name).ok_or(full)?;
        self.sums.add_name(object_type, ordinal, name);
        Ok(ordinal)
    }

    /// Numbers a class. Only the writer. Equal contexts are one class, whatever the order of their keys.
    pub fn intern_class(&mut self, condition: &str, context: &Context) -> ClassIx {
        let text = canonical(&serde_json::Value::Object(context.clone())).to_string();
        let key = (condition.to_owned(), text);
        let classes = self.classes.get_or_insert_default();
        let mut known = classes.by_text.write();
        if let Some(ix) = known.get(&key) {
            return *ix;
        }
        let ix = classes.list.push(Class { condition: condition.to_owned(), context: context.clone() });
        let ix = u32::try_from(ix).unwrap_or(u32::MAX);
        let sum = FixedState::with_seed(6).hash_one((3_u8, ix, &key));
        known.insert(key, ClassIx(ix));
        drop(known);
        self.sums.names = self.sums.names.wrapping_add(sum);
        ClassIx(ix)
    }

    /// Adds an entry of a dictionary to the sums.
    fn add_entry(&mut self, dictionary: u8, ix: u32, key: &impl std::hash::Hash) {
        self.sums.names = self.sums.names.wrapping_add(FixedState::with_seed(6).hash_one((dictionary, ix, key)));
    }

    /// Adds a tuple; false when it is there. A wildcard's subject is ordinal 0.
    pub fn insert(&mut self, column: ColumnIx, object: Ordinal, subject: Ordinal, class: Option<ClassIx>) -> bool {
        let Some(own) = self.columns.get_mut(usize::from(column.0)) else { return false };
        let added = Arc::make_mut(own).insert(object, subject, class);
        if added {
            self.sums.add(column, object, subject, class);
            self.presence.note(column, subject);
        }
        added
    }

    /// Removes a tuple; false when it is not there.
    pub fn remove(&mut self, column: ColumnIx, object: Ordinal, subject: Ordinal) -> bool {
        let Some(own) = self.columns.get_mut(usize::from(column.0)) else { return false };
        let Some(class) = Arc::make_mut(own).remove(object, subject) else { return false };
        self.sums.take(column, object, subject, class);
        self.presence.lost(column, own, subject);
        true
    }

    /// The tuple: absent, or present with its class, if any.
    #[must_use]
    pub fn find(&self, column: ColumnIx, object: Ordinal, subject: Ordinal) -> Option<Option<ClassIx>> {
        self.column(column).find(object, subject)
    }

    /// A number that depends on the tuples, their names and their places in every dictionary: equal states, equal digests.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let hasher = FixedState::with_seed(1);
        let mut sum = hasher.hash_one((&self.types.list, &self.relations.list, &self.keys.list, self.sums.tuples));
        for (t, names) in self.names.iter().enumerate() {
            for o in 0..names.len() {
                sum = sum.wrapping_add(hasher.hash_one((t, o, names.get(Ordinal(o)))));
            }
        }
        for (ix, _, column) in self.columns() {
            column.for_each(&mut |object, subject, class| {
                let class = class.map(|c| self.class(c));
                let class = class.map(|c| (&c.condition, canonical(&c.context.clone().into()).to_string()));
                sum = sum.wrapping_add(hasher.hash_one((ix.0, object.0, subject.0, class)));
            });
        }
        sum
    }

    /// Bytes of columns and of names, near enough.
    #[must_use]
    pub fn bytes(&self) -> (usize, usize) {
        let lists = self.types.list.len() * 64 + self.relations.list.len() * 64 + self.keys.list.len() * 48;
        let own = |c: &&Arc<Column>| !Arc::ptr_eq(c, &EMPTY);
        let columns: usize = self.columns.iter().filter(own).map(|c| 16 + size_of::<Column>() + c.bytes()).sum();
        let names: usize = self.names.iter().map(|n| size_of::<Names>() + n.bytes()).sum();
        (size_of::<Self>() + lists + self.columns.len() * 8 + self.presence.bytes() + columns, names)
    }
}

/// The same value with the keys of every map in order.
fn canonical(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(k, _)| *k);
            entries.into_iter().map(|(k, v)| (k.clone(), canonical(v))).collect()
        }
        serde_json::Value::Array(list) => list.iter().map(canonical).collect(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => value.clone(),
    }
}
