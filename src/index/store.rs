//! The state of one store: dictionaries, names, columns, classes. A clone is cheap and immutable towards its origin;
//! only the writer builds on one.

use super::column::{Column, ColumnKey, SubjectPart};
use super::names::{NAMES_MAX, Names};
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

/// Names of a type, and how many of them this state may see.
#[derive(Clone, Default)]
struct TypeNames {
    names: Arc<Names>,
    len: u32,
}

#[derive(Clone, Default)]
struct Classes {
    list: Arc<boxcar::Vec<Class>>,
    by_text: Arc<parking_lot::RwLock<HashMap<(String, String), ClassIx>>>,
}

/// See the file's head.
#[derive(Clone, Default)]
pub struct StoreState {
    types: Arc<Dictionary<String>>,
    relations: Arc<Dictionary<String>>,
    keys: Arc<Dictionary<ColumnKey>>,
    names: Vec<TypeNames>,
    columns: Vec<Column>,
    classes: Classes,
    tuples: u64,
}

impl std::fmt::Debug for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreState").field("tuples", &self.tuples).finish_non_exhaustive()
    }
}

static EMPTY: std::sync::LazyLock<Column> = std::sync::LazyLock::new(Column::default);
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
        self.columns.get(usize::from(ix.0)).unwrap_or(&EMPTY)
    }

    /// All columns.
    pub fn columns(&self) -> impl Iterator<Item = (ColumnIx, ColumnKey, &Column)> {
        self.columns.iter().zip(&self.keys.list).zip(0_u16..).map(|((c, k), i)| (ColumnIx(i), *k, c))
    }

    /// The ordinal of a name, when this state may see it.
    #[must_use]
    pub fn ordinal(&self, object_type: TypeIx, name: &str) -> Option<Ordinal> {
        let names = self.names.get(usize::from(object_type.0))?;
        names.names.find(name).filter(|o| o.0 < names.len)
    }

    /// The name of an ordinal, when this state may see it.
    #[must_use]
    pub fn name(&self, object_type: TypeIx, ordinal: Ordinal) -> Option<&str> {
        let names = self.names.get(usize::from(object_type.0))?;
        if ordinal.0 < names.len { names.names.get(ordinal) } else { None }
    }

    /// How many names of a type this state may see.
    #[must_use]
    pub fn names_len(&self, object_type: TypeIx) -> u32 {
        self.names.get(usize::from(object_type.0)).map_or(0, |n| n.len)
    }

    /// A class.
    #[must_use]
    pub fn class(&self, ix: ClassIx) -> &Class {
        self.classes.list.get(ix.0 as usize).unwrap_or(&NO_CLASS)
    }

    /// How many classes were ever met.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.classes.list.count()
    }

    /// How many tuples.
    #[must_use]
    pub fn tuple_count(&self) -> u64 {
        self.tuples
    }

    /// Numbers a type.
    pub fn intern_type(&mut self, name: &str) -> Result<TypeIx, IndexFull> {
        let ix = Dictionary::intern(&mut self.types, &name.to_owned(), "types")?;
        if usize::from(ix) >= self.names.len() {
            self.names.push(TypeNames::default());
        }
        Ok(TypeIx(ix))
    }

    /// Numbers a relation.
    pub fn intern_relation(&mut self, name: &str) -> Result<RelationIx, IndexFull> {
        Dictionary::intern(&mut self.relations, &name.to_owned(), "relations").map(RelationIx)
    }

    /// Numbers a column.
    pub fn intern_column(&mut self, key: &ColumnKey) -> Result<ColumnIx, IndexFull> {
        let ix = Dictionary::intern(&mut self.keys, key, "columns")?;
        if usize::from(ix) >= self.columns.len() {
            self.columns.push(Column::default());
        }
        Ok(ColumnIx(ix))
    }

    /// Numbers a name. Only the writer, on its newest state.
    pub fn intern_name(&mut self, object_type: TypeIx, name: &str) -> Result<Ordinal, IndexFull> {
        let full = IndexFull { what: "names of a type", max: u64::from(NAMES_MAX) };
        let names = self.names.get_mut(usize::from(object_type.0)).ok_or(full)?;
        let ordinal = match names.names.find(name) {
            Some(ordinal) => ordinal,
            None => names.names.push(name).ok_or(full)?,
        };
        names.len = names.len.max(ordinal.0 + 1);
        Ok(ordinal)
    }

    /// Numbers a class. Only the writer. Equal contexts are one class, whatever the order of their keys.
    pub fn intern_class(&mut self, condition: &str, context: &Context) -> ClassIx {
        let text = canonical(&serde_json::Value::Object(context.clone())).to_string();
        let key = (condition.to_owned(), text);
        let mut known = self.classes.by_text.write();
        *known.entry(key).or_insert_with(|| {
            let ix = self.classes.list.push(Class { condition: condition.to_owned(), context: context.clone() });
            ClassIx(u32::try_from(ix).unwrap_or(u32::MAX))
        })
    }

    /// Adds a tuple; false when it is there. A wildcard's subject is ordinal 0.
    pub fn insert(&mut self, column: ColumnIx, object: Ordinal, subject: Ordinal, class: Option<ClassIx>) -> bool {
        let column = self.columns.get_mut(usize::from(column.0));
        let added = column.is_some_and(|c| c.insert(object, subject, class));
        self.tuples += u64::from(added);
        added
    }

    /// Removes a tuple; false when it is not there.
    pub fn remove(&mut self, column: ColumnIx, object: Ordinal, subject: Ordinal) -> bool {
        let removed = self.columns.get_mut(usize::from(column.0)).is_some_and(|c| c.remove(object, subject));
        self.tuples -= u64::from(removed);
        removed
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
        let mut sum = hasher.hash_one((&self.types.list, &self.relations.list, &self.keys.list, self.tuples));
        for (t, names) in self.names.iter().enumerate() {
            for o in 0..names.len {
                sum = sum.wrapping_add(hasher.hash_one((t, o, names.names.get(Ordinal(o)))));
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
        (self.columns.iter().map(Column::bytes).sum(), self.names.iter().map(|n| n.names.bytes()).sum())
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
