//! The questions, one file each, and the one writer.
//!
//! `Engine` is the handle: it pins a snapshot and a plan, and calls the question. Everything here is synchronous and
//! knows neither time nor randomness except as arguments.

mod bulk;
mod check;
mod collection;
mod entry;
mod expand;
mod list_objects;
mod list_users;
mod load;
mod log;
mod plan;
mod queue;
mod read;
mod read_changes;
mod records;
mod replay;
mod retained;
mod small_map;
mod state;
mod stats;
mod trim;
mod tuple_rules;
mod types;
mod view;
mod witness;
mod world;
mod writer;

pub use crate::storage::{OpenError, StorageMemory};
// Parts of a search: modules know the engine alone.
pub use crate::vector::{Effort, Filter};
pub use bulk::{
    BAD_LINES_TOLD_MAX, BadLine, BulkFormat, CHUNK_BYTES_MAX, CHUNK_LINES_DEFAULT, CHUNK_LINES_MAX, CONTEXT_BYTES_MAX,
    Compression, ExportError, ExportQuery, IMPORT_ID_BYTES_MAX, ImportError, ImportProgress, ImportQuery, ImportReport,
    ImportStop, LINE_BYTES_MAX, LineFault, OnBadLine, SourceFault, decompressed,
};
pub use collection::{
    ANSWER_BYTES_MAX, CHUNK_ID_BYTES_MAX, CHUNK_TEXT_BYTES_MAX, CHUNKS_PER_PAGE_MAX, CHUNKS_PER_WRITE_MAX,
    COLLECTION_NAME_BYTES_MAX, COLLECTIONS_MAX, ChunkFault, ChunkPage, ChunksQuery, ChunksWritten, CollectionInfo,
    CollectionSpec, Guard, HITS_PER_SEARCH_MAX, NewChunk, OnRefused, QUERIES_PER_SEARCH_MAX, ScrollQuery, SearchAnswer,
    SearchHit, SearchQuery, StoredChunk, With,
};
pub use list_objects::ListedObjects;
pub use records::{
    MODULE_NAME_BYTES_MAX, Module, RECORD_KEY_BYTES_MAX, RECORD_PLACE_BYTES, RECORD_VALUE_BYTES_MAX,
    RECORDS_PER_PAGE_MAX, RECORDS_PER_WRITE_MAX, Record, RecordChange, RecordExpectation, Records,
};
pub use stats::{Stats, StoreStats, VerifyReport};
pub use trim::LogRetention;
pub use types::{
    Assertions, At, Change, CheckQuery, Consistency, Decision, ExpandNode, ExpandQuery, Given, Limits,
    ListObjectsQuery, ListUsersQuery, ModelErrorCode, OnDuplicate, OnMissing, Position, QuestionError,
    ReadChangesQuery, ReadPage, ReadQuery, StoreInfo, StoredModel, StoredTuple, TupleFault, WriteError, WriteQuery,
};
pub use view::View;

use crate::model::Model;
use crate::storage::{Batch, Fields, Key, Storage, Table};
use crate::tuple::{ModelId, Revision, StoreId, Timestamp, Tuple, as_struct};
use crate::vector::RowStore;
use arc_swap::ArcSwap;
use collection::{Arranger, KeptSets};
use crossbeam::channel::bounded;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use queue::Queue;
use retained::Retained;
use state::Snapshot;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use writer::Job;

/// How an [`Engine`] behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether a write waits for the disk before it is acknowledged. Without it a power cut may lose the newest writes.
    pub sync: bool,
    /// Whether rows are compressed on disk. Without it a plain search through the files finds what is in them.
    pub compress: bool,
    /// How many of the newest snapshots are kept for questions about an exact revision.
    pub snapshots_retained: usize,
    /// Bytes that they may keep alive together, by an estimate from above.
    pub snapshot_bytes_max: u64,
    /// How much of the log is kept for ReadChanges. The default keeps all.
    pub log_retention: LogRetention,
    /// How many compiled plans are kept.
    pub plans_max: usize,
    /// Bytes of permission sets that are kept between searches.
    pub search_sets_bytes_max: usize,
    /// Bytes of vectors in memory, besides their codes; what is over it is in files of the directory and read where a code
    /// does not decide.
    pub vectors_memory_bytes_max: usize,
    /// Threads that build graphs and lay rows out beside the writer; with 0 searches always scan, and rows stay as they
    /// came.
    pub arrange_threads: usize,
    /// Chunks from which a collection has a graph, and twice as many changes as lead to a new layout.
    pub arrange_chunks_min: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sync: true,
            compress: true,
            snapshots_retained: 64,
            snapshot_bytes_max: 256 << 20,
            log_retention: LogRetention::default(),
            plans_max: 10_000,
            search_sets_bytes_max: 256 << 20,
            vectors_memory_bytes_max: 4 << 30,
            arrange_threads: 1,
            arrange_chunks_min: 2_000,
        }
    }
}

/// An open database. Clones share it; it closes when the last is gone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    jobs: Queue,
    _threads: Arc<Joined>,
}

/// A compiled plan's key: the store's number (never reused) and the model.
type PlanKey = (u32, ModelId);

struct Inner {
    storage: Storage,
    settings: Settings,
    /// Where the exact rows of collections are kept.
    rows: RowStore,
    snapshot: ArcSwap<Snapshot>,
    retained: Retained,
    plans: RwLock<HashMap<PlanKey, Arc<plan::Plan>>>,
    /// What subjects may see, as the last search found it.
    kept: Arc<KeptSets>,
    arranger: Arranger,
    poisoned: AtomicBool,
    /// Who wants to know of published revisions.
    notices: RwLock<Vec<Notice>>,
    /// What tells this database from others, once it was asked for.
    identity: Mutex<Option<u128>>,
}

/// Called with each revision as it is published; it must not block.
type Notice = Box<dyn Fn(Revision) + Send + Sync>;

/// Where the database's identity is kept among the rows of [`Table::Meta`].
const META_IDENTITY: u16 = 16;

/// The writer's thread and the arranger's, waited for so that the directory is free when the last handle is gone.
struct Joined {
    inner: Arc<Inner>,
    /// The writer's first: it ends when the arranger's handle of its queue is gone too.
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Drop for Joined {
    /// Every queue's handle but the arranger's is gone: a clone of the engine drops its own before it drops this.
    fn drop(&mut self) {
        self.inner.arranger.stop();
        for thread in self.threads.drain(..).rev() {
            let _ = thread.join(); // a panic there was reported when it happened
        }
    }
}

impl Inner {
    /// Makes a snapshot the newest one. `kept_alive` is how many bytes the one before it then holds alone.
    fn publish(&self, snapshot: Arc<Snapshot>, kept_alive: u64) {
        let (settings, revision) = (&self.settings, snapshot.revision);
        self.retained.push(Arc::clone(&snapshot), kept_alive, settings.snapshots_retained, settings.snapshot_bytes_max);
        self.snapshot.store(snapshot);
        self.notices.read().iter().for_each(|notice| notice(revision));
    }

    /// Makes a snapshot the newest one that has the same revision and rows in another order.
    /// `kept_alive` is how many bytes those before it then hold alone.
    fn publish_arranged(&self, snapshot: Arc<Snapshot>, kept_alive: u64) {
        self.retained.replace_newest(Arc::clone(&snapshot), kept_alive, self.settings.snapshot_bytes_max);
        self.snapshot.store(snapshot);
    }
}

impl Engine {
    /// Opens or creates the database in a directory.
    ///
    /// # Errors
    /// Another process has it, it is damaged, or a newer program wrote it.
    pub fn open(path: impl AsRef<Path>) -> Result<Engine, OpenError> {
        Engine::open_with(path, Settings::default())
    }

    /// Like [`Engine::open`], with settings.
    pub fn open_with(path: impl AsRef<Path>, settings: Settings) -> Result<Engine, OpenError> {
        let path = path.as_ref();
        let storage = Storage::open(path, settings.sync, settings.compress)?;
        let rows = RowStore::bounded(path, settings.vectors_memory_bytes_max);
        let snapshot =
            load::load(&storage.reading(), &rows).map_err(|what| OpenError::Damaged { path: path.to_owned(), what })?;
        let kept = Arc::new(KeptSets::new(settings.search_sets_bytes_max));
        let inner = Arc::new(Inner {
            storage,
            settings,
            rows,
            snapshot: ArcSwap::from_pointee(snapshot),
            retained: Retained::default(),
            plans: RwLock::default(),
            kept,
            arranger: Arranger::default(),
            poisoned: AtomicBool::new(false),
            notices: RwLock::default(),
            identity: Mutex::default(),
        });
        inner.publish(inner.snapshot.load_full(), 0);
        let (jobs, waiting) = queue::queue();
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(|error| OpenError::Unusable {
                path: path.to_owned(),
                reason: format!("no thread for the {name}: {error}"),
            })
        };
        let shared = Arc::clone(&inner);
        let mut threads = vec![start("writer", Box::new(move || writer::run(&shared, waiting)))?];
        if inner.settings.arrange_threads > 0 {
            let stores = inner.snapshot.load();
            inner.arranger.wake(stores.stores().filter(|s| !s.collections.is_empty()).map(|s| s.id));
            let (shared, queue) = (Arc::clone(&inner), jobs.clone());
            threads.push(start("arranger", Box::new(move || collection::arrange(&shared, &queue)))?);
        }
        let joined = Joined { inner: Arc::clone(&inner), threads };
        Ok(Engine { inner, jobs, _threads: Arc::new(joined) })
    }

    /// The newest published revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.inner.snapshot.load().revision
    }

    /// Calls `notice` with every revision that is published from now on, on the writer's thread: it must not block.
    pub fn on_publish(&self, notice: impl Fn(Revision) + Send + Sync + 'static) {
        self.inner.notices.write().push(Box::new(notice));
    }

    /// What tells this database from others; `fresh`, which the caller drew at random, when it has none yet.
    ///
    /// # Errors
    /// The store on disk failed.
    pub fn identity(&self, fresh: u128) -> Result<u128, QuestionError> {
        let mut known = self.inner.identity.lock();
        if let Some(identity) = *known {
            return Ok(identity);
        }
        let key = Key::of(Table::Meta).u16(META_IDENTITY);
        let stored = self.inner.storage.reading().get(&key).map_err(|_| QuestionError::Storage)?;
        let identity = match stored {
            Some(bytes) => Fields(&bytes).u128().ok_or(QuestionError::Storage)?,
            None => {
                let mut batch = Batch::default();
                batch.put(&key, &fresh.to_be_bytes());
                self.inner.storage.commit(batch).map_err(|_| QuestionError::Storage)?;
                fresh
            }
        };
        *known = Some(identity);
        Ok(identity)
    }

    fn submit(&self, change: writer::Change) -> Result<At<()>, WriteError> {
        let at = self.submit_counted(change)?;
        Ok(At { revision: at.revision, value: () })
    }

    /// Also answers how many tuples an import's chunk wrote.
    fn submit_counted(&self, change: writer::Change) -> Result<At<u64>, WriteError> {
        let (reply, answer) = bounded(1);
        if !self.jobs.send(Job { change, reply }) {
            return Err(WriteError::Poisoned);
        }
        answer.recv().map_err(|_| WriteError::Poisoned)?
    }

    /// Creates a store. The caller makes the id, a fresh ULID.
    pub fn create_store(&self, id: StoreId, name: &str, now: Timestamp) -> Result<At<StoreInfo>, WriteError> {
        let at = self.submit(writer::Change::Create { id, name: name.to_owned(), at: now })?;
        Ok(At { revision: at.revision, value: StoreInfo { id, name: name.to_owned(), created_at: now } })
    }

    /// Deletes a store with all that is in it. One that does not exist is deleted already.
    pub fn delete_store(&self, id: StoreId, _now: Timestamp) -> Result<At<()>, WriteError> {
        self.submit(writer::Change::Delete { id })
    }

    /// Writes an authorization model, which from then on is the store's latest. The caller makes the id.
    ///
    /// # Errors
    /// The model breaks a rule; the reason is OpenFGA's.
    pub fn write_model(&self, store: StoreId, id: ModelId, model: Model) -> Result<At<()>, WriteError> {
        model.validate().map_err(|fault| WriteError::Model {
            code: if fault.duplicate_types { ModelErrorCode::DuplicateTypes } else { ModelErrorCode::Invalid },
            reason: fault.reason,
        })?;
        self.submit(writer::Change::Model { store, id, model: Box::new(model) })
    }

    /// Deletes and writes tuples, all or nothing.
    ///
    /// # Errors
    /// A tuple that the model (the latest, when none is named) does not allow, or a precondition that does not hold.
    pub fn write(
        &self,
        store: StoreId,
        model: Option<ModelId>,
        mut query: WriteQuery,
        now: Timestamp,
    ) -> Result<At<()>, WriteError> {
        self.ready_tuples(store, model, &mut query)?;
        records::check(&query.expectations, &query.records)?;
        self.submit(writer::Change::Tuples { store, query, at: now })
    }

    /// Brings tuples to write into the form that is stored, and refuses those that the model does not allow.
    fn ready_tuples(&self, store: StoreId, model: Option<ModelId>, query: &mut WriteQuery) -> Result<(), WriteError> {
        let view = self.view(store, model, Consistency::Latest)?;
        for tuple in &mut query.writes {
            tuple.condition.iter_mut().for_each(|c| as_struct(&mut c.context));
            view.allows(tuple).map_err(|fault| WriteError::Tuple { tuple: tuple.to_string(), fault })?;
        }
        Ok(())
    }

    /// Writes a chunk of tuples for an import: those that exist already, condition and all, are skipped.
    pub fn import_chunk(
        &self,
        store: StoreId,
        model: Option<ModelId>,
        tuples: Vec<Tuple>,
        now: Timestamp,
    ) -> Result<At<()>, WriteError> {
        let query = WriteQuery { writes: tuples, on_duplicate: OnDuplicate::Ignore, ..WriteQuery::default() };
        self.write(store, model, query, now)
    }

    /// Replaces the assertions of a model.
    pub fn write_assertions(
        &self,
        store: StoreId,
        model: ModelId,
        assertions: Assertions,
    ) -> Result<At<()>, WriteError> {
        self.submit(writer::Change::Assertions { store, model, body: assertions.body })
    }

    /// The assertions of a model; `None` when none were ever written.
    pub fn assertions(&self, store: StoreId, model: ModelId) -> Result<Option<Assertions>, QuestionError> {
        let snapshot = self.inner.snapshot.load();
        let body = snapshot.store(store).and_then(|s| s.assertions.get(&model));
        Ok(body.map(|b| Assertions { body: b.to_vec() }))
    }

    /// A store.
    pub fn store(&self, id: StoreId) -> Result<At<StoreInfo>, QuestionError> {
        let snapshot = self.inner.snapshot.load();
        let store = snapshot.store(id).filter(|s| s.listed).ok_or(QuestionError::StoreNotFound(id))?;
        Ok(At { revision: snapshot.revision, value: info(store) })
    }

    /// Stores in the order of their ids (so of their creation), at most `page_size`, and whether there are more.
    #[must_use]
    pub fn stores(&self, name: Option<&str>, after: Option<StoreId>, page_size: usize) -> (Vec<StoreInfo>, bool) {
        let snapshot = self.inner.snapshot.load();
        let wanted = snapshot.stores().filter(|s| s.listed && name.is_none_or(|n| n == &*s.name));
        let mut found: Vec<StoreInfo> = wanted.filter(|s| after.is_none_or(|a| s.id > a)).map(|s| info(s)).collect();
        found.sort_unstable_by_key(|s| s.id);
        let more = found.len() > page_size;
        found.truncate(page_size);
        (found, more)
    }

    /// A model.
    pub fn model(&self, store: StoreId, id: ModelId) -> Result<StoredModel, QuestionError> {
        let snapshot = self.inner.snapshot.load();
        snapshot.store(store).and_then(|s| s.model(id)).cloned().ok_or(QuestionError::ModelNotFound(id))
    }

    /// The newest model of a store.
    pub fn latest_model(&self, store: StoreId) -> Result<StoredModel, QuestionError> {
        let snapshot = self.inner.snapshot.load();
        snapshot.store(store).and_then(|s| s.models.last()).cloned().ok_or(QuestionError::NoModel(store))
    }

    /// Models of a store, newest first, at most `page_size`, behind `after`, and whether there are more.
    #[must_use]
    pub fn models(&self, store: StoreId, after: Option<ModelId>, page_size: usize) -> (Vec<StoredModel>, bool) {
        let snapshot = self.inner.snapshot.load();
        let Some(entry) = snapshot.store(store) else { return (Vec::new(), false) };
        let mut models = entry.models.iter().rev();
        if let Some(after) = after {
            models.by_ref().find(|m| m.id == after);
        }
        let page: Vec<StoredModel> = models.by_ref().take(page_size).cloned().collect();
        (page, models.next().is_some())
    }
}

fn info(store: &state::StoreEntry) -> StoreInfo {
    StoreInfo { id: store.id, name: store.name.to_string(), created_at: store.created_at }
}
