//! Reading a database back from its tables: what a start does.
//!
//! Small tables are read whole, all stores in one pass. Names and tuples are cut into pieces of about equal work, which
//! threads read side by side; then each side of each column is built at once from its sorted rows. What was read must
//! give the sums that the writer kept: a missing or changed row is damage, and damage is refused.

use super::collection;
use super::entry::Entry;
use super::log;
use super::state::{Snapshot, StoreEntry, TupleRow, read_sums};
use super::types::StoredModel;
use crate::index::{
    ColumnIx, ColumnKey, ColumnRows, Half, NamesPart, RelationIx, Side, StoreState, SubjectPart, Sums, TypeIx,
};
use crate::model::Model;
use crate::storage::{Fields, Key, Reading, StorageError, Table};
use crate::tuple::{Context, ModelId, Ordinal, Revision, StoreId, Timestamp};
use crate::vector::RowStore;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Names of a piece, as far as a type reaches: a multiple of the index's chunks.
const PIECE_NAMES: u32 = 1 << 16;
/// Threads that read and build.
const THREADS_MAX: usize = 16;

/// What is damaged.
type Damage = &'static str;

/// A store while it is read.
struct Part {
    entry: StoreEntry,
    /// How many names each type has.
    names: Vec<u32>,
    sums: Sums,
}

/// A place in the tables of names and of tuples by object, which sort alike.
#[derive(Clone, Copy)]
struct Place {
    store: u32,
    object_type: u16,
    ordinal: u32,
}

/// Rows from one place to before another.
struct Piece {
    from: Place,
    to: Option<Place>,
}

impl Piece {
    fn read(
        &self,
        reading: &Reading<'_>,
        table: Table,
        visit: impl FnMut(Fields<'_>, &[u8]) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let key = |p: Place| Key::of(table).u32(p.store).u16(p.object_type).u32(p.ordinal);
        let to = self.to.map_or_else(|| Key::of(table).end(), |to| key(to).bytes().to_vec());
        reading.range(1, &key(self.from), to, visit)
    }
}

/// Reads the state from the tables. Vectors are where `rows` has room for them.
///
/// # Errors
/// Which table is damaged.
pub(super) fn load(reading: &Reading<'_>, rows: &RowStore) -> Result<Snapshot, Damage> {
    let mut snapshot = Snapshot::default();
    let meta = |n| reading.get(&Key::of(Table::Meta).u16(n)).map_err(|_| "meta");
    if let Some(bytes) = meta(1)? {
        snapshot.revision = Revision(Fields(&bytes).u64().ok_or("head revision")?);
    }
    if let Some(bytes) = meta(3)? {
        snapshot.log_from = Revision(Fields(&bytes).u64().ok_or("first revision of the log")?);
    }
    let mut parts = stores(reading)?;
    let unread = collection::list(reading, rows, |store, name| {
        let part = parts.get(&store)?;
        let ix = part.entry.index.type_ix(name)?;
        Some((ix, part.names.get(usize::from(ix.0)).copied()?))
    });
    let unread = unread.map_err(|_| "collections")?;
    let collections = parallel(&unread, |unread| collection::load(reading, unread).map_err(|_| "chunks"))?;
    for (store, collection) in collections {
        let part = parts.get_mut(&store).ok_or("collections")?;
        Arc::make_mut(&mut part.entry.collections).push(collection);
    }
    let pieces = pieces(&parts);
    let names = parallel(&pieces, |piece| names(reading, &parts, piece).map_err(|_| "names"))?;
    let tuples = parallel(&pieces, |piece| tuples(reading, &parts, piece).map_err(|_| "tuples"))?;

    let mut sums: HashMap<u32, Sums> = HashMap::new();
    let mut names_of: HashMap<u32, BTreeMap<TypeIx, Vec<NamesPart>>> = HashMap::new();
    for part in names.into_iter().flatten() {
        sums.entry(part.store).or_default().merge(&part.sums);
        names_of.entry(part.store).or_default().entry(part.object_type).or_default().push(part.names);
    }
    let mut rows: BTreeMap<(u32, ColumnIx), ColumnRows> = BTreeMap::new();
    for (store, of, columns) in tuples.into_iter().flatten() {
        sums.entry(store).or_default().merge(&of);
        for (column, more) in columns {
            rows.entry((store, column)).or_default().append(more);
        }
    }
    let mut columns = build(rows)?;
    for (number, mut part) in std::mem::take(&mut parts) {
        let names = names_of.remove(&number).unwrap_or_default().into_iter().collect();
        let mut found = sums.remove(&number).unwrap_or_default();
        found.merge(part.entry.index.sums());
        if found != part.sums {
            return Err("rows of names or tuples are missing or changed");
        }
        if !part.entry.index.loaded(names, columns.remove(&number).unwrap_or_default(), found) {
            return Err("names");
        }
        snapshot.put(part.entry);
    }
    if !sums.is_empty() {
        return Err("rows of a store that does not exist");
    }
    if let Some(bytes) = meta(2)? {
        snapshot.next_store = Fields(&bytes).u32().ok_or("next store")?;
    }
    Ok(snapshot)
}

/// The stores with everything that is small.
fn stores(reading: &Reading<'_>) -> Result<BTreeMap<u32, Part>, Damage> {
    let mut parts = BTreeMap::new();
    let read = reading.scan(&Key::of(Table::Stores), None, |_, value| {
        let entry = log::decode(value).and_then(|mut entries| entries.pop()).ok_or(StorageError)?;
        let Entry::Create { store, id, name, at, listed } = entry else { return Err(StorageError) };
        let entry = StoreEntry {
            number: store,
            id: StoreId(ulid::Ulid(id)),
            name: name.into(),
            created_at: Timestamp(at),
            listed,
            index: StoreState::default(),
            models: Arc::default(),
            assertions: Arc::default(),
            collections: Arc::default(),
            tuple_changes: 0,
        };
        parts.insert(store, Part { entry, names: Vec::new(), sums: Sums::default() });
        Ok(true)
    });
    read.map_err(|_| "stores")?;
    dictionaries(reading, &mut parts)?;
    each(reading, Table::Classes, &mut parts, "classes", |part, mut key, value| {
        let (condition, context): (String, Context) = serde_json::from_slice(value).ok()?;
        let ix = part.entry.index.intern_class(&condition, &context);
        (key.u32() == Some(ix.0)).then_some(())
    })?;
    each(reading, Table::Models, &mut parts, "models", |part, _, value| {
        let (id, model): (String, Model) = serde_json::from_slice(value).ok()?;
        let id = ModelId(ulid::Ulid(id.parse().ok()?));
        Arc::make_mut(&mut part.entry.models).push(StoredModel { id, model: Arc::new(model) });
        Some(())
    })?;
    each(reading, Table::Assertions, &mut parts, "assertions", |part, mut key, value| {
        let model = ModelId(ulid::Ulid(key.u128()?));
        Arc::make_mut(&mut part.entry.assertions).insert(model, value.into());
        Some(())
    })?;
    each(reading, Table::Sums, &mut parts, "sums", |part, _, value| {
        (part.sums, part.names) = read_sums(value)?;
        (part.names.len() == usize::from(part.entry.index.type_count())).then_some(())
    })?;
    Ok(parts)
}

fn dictionaries(reading: &Reading<'_>, parts: &mut BTreeMap<u32, Part>) -> Result<(), Damage> {
    each(reading, Table::Types, parts, "types", |part, mut key, value| {
        let ix = part.entry.index.intern_type(Fields(value).text()?).ok()?;
        (key.u16() == Some(ix.0)).then_some(())
    })?;
    each(reading, Table::Relations, parts, "relations", |part, mut key, value| {
        let ix = part.entry.index.intern_relation(Fields(value).text()?).ok()?;
        (key.u16() == Some(ix.0)).then_some(())
    })?;
    each(reading, Table::Columns, parts, "columns", |part, mut key, value| {
        let mut fields = Fields(value);
        let (object_type, relation, subject_type) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let part_of = match (fields.u16()?, fields.u16()?) {
            (0, 0) => SubjectPart::Object,
            (1, 0) => SubjectPart::Wildcard,
            (2, relation) => SubjectPart::Userset(RelationIx(relation)),
            _ => return None,
        };
        let types = part.entry.index.type_count();
        if object_type >= types || subject_type >= types {
            return None;
        }
        let (object_type, subject_type) = (TypeIx(object_type), TypeIx(subject_type));
        let column = ColumnKey { object_type, relation: RelationIx(relation), subject_type, part: part_of };
        let ix = part.entry.index.intern_column(&column).ok()?;
        (key.u16() == Some(ix.0)).then_some(())
    })
}

/// Hands every row of a table to `visit` with the store it belongs to. `None`: damaged.
fn each(
    reading: &Reading<'_>,
    table: Table,
    parts: &mut BTreeMap<u32, Part>,
    name: Damage,
    mut visit: impl FnMut(&mut Part, Fields<'_>, &[u8]) -> Option<()>,
) -> Result<(), Damage> {
    let read = reading.scan(&Key::of(table), None, |mut key, value| {
        let part = key.u32().and_then(|store| parts.get_mut(&store)).ok_or(StorageError)?;
        visit(part, key, value).map(|()| true).ok_or(StorageError)
    });
    read.map_err(|_| name)
}

/// Cuts the tables of names and tuples.
fn pieces(parts: &BTreeMap<u32, Part>) -> Vec<Piece> {
    let mut cuts = vec![Place { store: 0, object_type: 0, ordinal: 0 }];
    let mut weight = 0_u32;
    for (&store, part) in parts {
        for (object_type, &len) in (0..).zip(&part.names) {
            if weight >= PIECE_NAMES {
                cuts.push(Place { store, object_type, ordinal: 0 });
                weight = 0;
            }
            let inner = (1..).map(|n| n * PIECE_NAMES).take_while(|ordinal| *ordinal < len);
            for ordinal in inner {
                cuts.push(Place { store, object_type, ordinal });
                weight = 0;
            }
            weight += len % PIECE_NAMES + 1;
        }
    }
    let ends = cuts.iter().skip(1).copied().map(Some).chain([None]);
    cuts.iter().zip(ends).map(|(from, to)| Piece { from: *from, to }).collect()
}

/// The names of a type that a piece holds.
struct NamesOf {
    store: u32,
    object_type: TypeIx,
    names: NamesPart,
    sums: Sums,
}

fn names(reading: &Reading<'_>, parts: &BTreeMap<u32, Part>, piece: &Piece) -> Result<Vec<NamesOf>, StorageError> {
    let mut found: Vec<NamesOf> = Vec::new();
    let mut next = 0;
    piece.read(reading, Table::Names, |mut key, value| {
        let fields = (key.u32(), key.u16(), key.u32(), Fields(value).text());
        let (Some(store), Some(t), Some(ordinal), Some(name)) = fields else { return Err(StorageError) };
        if found.last().is_none_or(|f| (f.store, f.object_type.0) != (store, t)) {
            let part = parts.get(&store).ok_or(StorageError)?;
            let first = (piece.from.store, piece.from.object_type) == (store, t);
            next = if first { piece.from.ordinal } else { 0 };
            if t >= part.entry.index.type_count() {
                return Err(StorageError);
            }
            let (names, sums) = (NamesPart::default(), Sums::default());
            found.push(NamesOf { store, object_type: TypeIx(t), names, sums });
        }
        let of = found.last_mut().filter(|_| ordinal == next).ok_or(StorageError)?;
        next += 1;
        of.sums.add_name(of.object_type, Ordinal(ordinal), name);
        of.names.push(name).then_some(true).ok_or(StorageError)
    })?;
    Ok(found)
}

/// The tuples of a store that a piece holds.
type TuplesOf = (u32, Sums, BTreeMap<ColumnIx, ColumnRows>);

fn tuples(reading: &Reading<'_>, parts: &BTreeMap<u32, Part>, piece: &Piece) -> Result<Vec<TuplesOf>, StorageError> {
    let mut found: Vec<TuplesOf> = Vec::new();
    piece.read(reading, Table::ByObject, |mut key, value| {
        let store = key.u32().ok_or(StorageError)?;
        let part = parts.get(&store).ok_or(StorageError)?;
        let row = TupleRow::by_object(key, value).filter(|row| fits(part, row)).ok_or(StorageError)?;
        if found.last().is_none_or(|f| f.0 != store) {
            found.push((store, Sums::default(), BTreeMap::new()));
        }
        let (_, sums, columns) = found.last_mut().ok_or(StorageError)?;
        sums.add(row.column, row.object, row.subject, row.class);
        columns.entry(row.column).or_default().push(row.object, row.subject, row.class);
        Ok(true)
    })?;
    Ok(found)
}

/// Whether all that a row refers to is there.
fn fits(part: &Part, row: &TupleRow) -> bool {
    let index = &part.entry.index;
    let key = index.column_key(row.column);
    let named = |t: TypeIx, o: Ordinal| part.names.get(usize::from(t.0)).is_some_and(|len| o.0 < *len);
    let subject = match key.part {
        SubjectPart::Wildcard => row.subject == Ordinal(0),
        SubjectPart::Object | SubjectPart::Userset(_) => named(key.subject_type, row.subject),
    };
    let class = row.class.is_none_or(|class| (class.0 as usize) < index.class_count());
    subject && class && key.object_type == row.object_type && named(row.object_type, row.object)
}

/// Both sides of every column, by store.
type Built = HashMap<u32, Vec<(ColumnIx, Half, Half)>>;

fn build(rows: BTreeMap<(u32, ColumnIx), ColumnRows>) -> Result<Built, Damage> {
    let rows: Vec<_> = rows.into_iter().collect();
    let mut jobs: Vec<(usize, Side)> =
        (0..rows.len()).flat_map(|at| [(at, Side::BySubject), (at, Side::ByObject)]).collect();
    let size = |at: usize| rows.get(at).map_or(0, |(_, rows)| rows.len());
    jobs.sort_by_key(|(at, _)| std::cmp::Reverse(size(*at))); // stable: the two sides stay neighbours
    let halves =
        parallel(&jobs, |(at, side)| rows.get(*at).map(|(_, rows)| Half::build(rows, *side)).ok_or("columns"))?;
    let mut built = Built::new();
    let mut halves = halves.into_iter();
    for (at, side) in jobs {
        if side == Side::BySubject
            && let (Some(by_subject), Some(by_object)) = (halves.next(), halves.next())
            && let Some(((store, column), _)) = rows.get(at)
        {
            built.entry(*store).or_default().push((*column, by_object, by_subject));
        }
    }
    Ok(built)
}

/// Does every job, several at a time, and returns the results in the order of the jobs.
fn parallel<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> Result<R, Damage> + Sync) -> Result<Vec<R>, Damage> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(jobs.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, Result<R, Damage>>> = Mutex::default();
    let run = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let result = work(job);
            done.lock().insert(at, result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without a thread the others do its part.
            let _ = std::thread::Builder::new().name("load".into()).spawn_scoped(scope, run);
        }
        run();
    });
    done.into_inner().into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Assertions, Engine, Module, Settings, WriteQuery};
    use crate::storage::{Batch, Storage};
    use crate::tuple::TupleKeyRef;

    fn engine(path: &std::path::Path) -> Result<Engine, crate::engine::OpenError> {
        Engine::open_with(path, Settings { sync: false, ..Settings::default() })
    }

    /// One row, at least, of every table.
    fn fill(path: &std::path::Path) {
        let database = engine(path).unwrap();
        let (store, model) = (StoreId(ulid::Ulid::from_parts(1, 1)), ModelId(ulid::Ulid::from_parts(1, 2)));
        database.create_store(store, "damage", Timestamp(1)).unwrap();
        let text = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user with c]\n\
                    condition c(x: int) {\n  x < 5\n}\n";
        database.write_model(store, model, Model::parse_dsl(text).unwrap()).unwrap();
        database.write_assertions(store, model, Assertions { body: b"body".to_vec() }).unwrap();
        let mut tuple = TupleKeyRef::parse("document:1", "viewer", "user:anne").unwrap().to_tuple();
        let context = serde_json::from_str(r#"{"x": 1}"#).unwrap();
        tuple.condition = Some(crate::tuple::TupleCondition { name: "c".into(), context });
        let record = database.records(Module::new("m")).put("key", "value");
        database
            .write(
                store,
                None,
                WriteQuery { writes: vec![tuple], ..WriteQuery::default() }.with_record(record),
                Timestamp(1),
            )
            .unwrap();
        assert_eq!(database.verify().unwrap().differences, Vec::<String>::new());
    }

    #[test]
    fn a_changed_or_missing_row_of_any_table_is_seen() {
        let all = [
            Table::Meta,
            Table::Log,
            Table::Sums,
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
            Table::Records,
        ];
        for table in all {
            for missing in [false, true] {
                let directory = tempfile::tempdir().unwrap();
                fill(directory.path());
                let storage = Storage::open(directory.path(), false, true).unwrap();
                let mut last = None;
                let seen = storage.reading().scan(&Key::of(table), None, |key, value| {
                    last = Some((key.0.to_vec(), value.to_vec()));
                    Ok(table != Table::Meta) // its first row is the format's version
                });
                seen.unwrap();
                let (key, mut value) = last.unwrap();
                let mut batch = Batch::default();
                if missing {
                    batch.delete(&Key::of(table).tail(&key));
                } else {
                    let middle = value.len() / 2;
                    value[middle] ^= 1;
                    batch.put(&Key::of(table).tail(&key), &value);
                }
                storage.commit(batch).unwrap();
                drop(storage);
                let found = match engine(directory.path()) {
                    Err(error) => error.to_string(),
                    Ok(database) => match database.verify() {
                        Err(error) => error.to_string(),
                        Ok(report) => report.differences.join("; "),
                    },
                };
                assert!(!found.is_empty(), "damage of {table:?} (missing: {missing}) was not seen");
            }
        }
    }
}
