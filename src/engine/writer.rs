//! The one writer: takes a group of waiting requests, judges each against the state in which it will be, commits them
//! together with one sync, publishes, acknowledges.

use super::bulk::Stored;
use super::collection::{self, Arranged, CollectionChange, WithTuples};
use super::entry::{Entry, RecordRow, skips, subject_id};
use super::queue::Waiting;
use super::state::{ApplyError, Sink, Snapshot, StoreEntry};
use super::tuple_rules::column_at;
use super::types::{OnMissing, QuestionError, TupleFault, WriteError, WriteQuery};
use super::{Inner, log, trim, types::At};
use crate::index::IndexFull;
use crate::model::Model;
use crate::storage::{Key, Table};
use crate::tuple::{ModelId, Revision, SUBJECT_BYTES_MAX, StoreId, Timestamp, Tuple};
use crossbeam::channel::Sender;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a request wants changed.
pub(super) enum Change {
    Create {
        id: StoreId,
        name: String,
        at: Timestamp,
    },
    Delete {
        id: StoreId,
    },
    Model {
        store: StoreId,
        id: ModelId,
        model: Box<Model>,
    },
    Assertions {
        store: StoreId,
        model: ModelId,
        body: Vec<u8>,
    },
    Tuples {
        store: StoreId,
        query: WriteQuery,
        at: Timestamp,
    },
    /// A chunk of an import; what exists is skipped. Shared, so that the import has it back when it is refused.
    Import {
        store: StoreId,
        tuples: Arc<Vec<Tuple>>,
        records: Vec<super::RecordChange>,
        at: Timestamp,
    },
    Records {
        expectations: Vec<super::RecordExpectation>,
        changes: Vec<super::RecordChange>,
    },
    /// A collection is changed, perhaps with tuples.
    Collection {
        store: StoreId,
        change: CollectionChange,
        tuples: WithTuples,
    },
    /// Rows that were laid out anew: the same chunks in another order, so that no revision begins.
    Arranged(Box<Arranged>),
}

/// A waiting request.
pub(super) struct Job {
    pub(super) change: Change,
    /// Gets the number of tuples written.
    pub(super) reply: Sender<Result<At<u64>, WriteError>>,
}

/// Runs until every handle is gone.
pub(super) fn run(inner: &Inner, mut waiting: Waiting) {
    while let Some(group) = waiting.take() {
        let answers = serve(inner, group);
        waiting.done();
        for (reply, answer) in answers {
            let _ = reply.send(answer); // a caller that went away needs no answer
        }
    }
}

impl Change {
    /// How many tuples it changes.
    pub(super) fn tuples(&self) -> usize {
        match self {
            Change::Tuples { query, .. } => query.writes.len() + query.deletes.len(),
            Change::Import { tuples, .. } => tuples.len(),
            Change::Collection { change, tuples, .. } => {
                let tuples = tuples.as_ref().map_or(0, |(query, _)| query.writes.len() + query.deletes.len());
                change.weight() + tuples
            }
            Change::Create { .. }
            | Change::Delete { .. }
            | Change::Model { .. }
            | Change::Assertions { .. }
            | Change::Records { .. }
            | Change::Arranged(_) => 0,
        }
    }
}

/// Whom to answer, and what.
type Answers = Vec<(Sender<Result<At<u64>, WriteError>>, Result<At<u64>, WriteError>)>;

fn serve(inner: &Inner, group: Vec<Job>) -> Answers {
    if inner.poisoned.load(Ordering::Acquire) {
        return group.into_iter().map(|job| (job.reply, Err(WriteError::Poisoned))).collect();
    }
    let published = inner.snapshot.load_full();
    let mut group_state = Group {
        state: Snapshot::clone(&published),
        sink: Sink::new(inner.storage.reading(), inner.rows.clone()),
        revision: Revision(published.revision.0 + 1),
        index: 0,
        entries: Vec::new(),
        broken: false,
        arranged: false,
        arranged_bytes: 0,
        records: HashMap::new(),
        appended: 0,
    };
    let mut judged = Vec::with_capacity(group.len());
    for job in group {
        let outcome = group_state.judge(job.change);
        judged.push((job.reply, outcome));
    }
    let outcome = group_state.commit(inner, &published);
    let answer = |judged| match (&outcome, judged) {
        (Ok(revision), Ok(written)) => Ok(At { revision: *revision, value: written }),
        (_, Err(refused)) => Err(refused),
        (Err(failed), Ok(_)) => Err(failed.clone()),
    };
    judged.into_iter().map(|(reply, judged)| (reply, answer(judged))).collect()
}

struct Group<'a> {
    state: Snapshot,
    sink: Sink<'a>,
    revision: Revision,
    index: u32,
    entries: Vec<Entry>,
    /// An entry failed half way: nothing of this group may be kept.
    broken: bool,
    /// Rows of a collection were laid out anew.
    arranged: bool,
    /// Bytes of the rows and graphs that they take the place of.
    arranged_bytes: u64,
    /// Where the group has last changed each module record: the entry, and the row in it.
    records: HashMap<(super::Module, Vec<u8>), (usize, usize)>,
    /// How many records the group has appended.
    appended: u32,
}

impl Group<'_> {
    /// Judges a change, and applies it when it is good. Answers how many tuples an import wrote.
    fn judge(&mut self, change: Change) -> Result<u64, WriteError> {
        let done = match change {
            Change::Create { id, name, at } => {
                if self.state.store(id).is_some() {
                    return Err(WriteError::IdTaken { id: id.to_string() });
                }
                self.create(id, name, at, true)
            }
            Change::Delete { id } => match self.state.store(id) {
                None => Ok(()),
                Some(store) => {
                    let store = store.number;
                    self.apply(Some(id), Entry::Delete { store })
                }
            },
            Change::Model { store, id, model } => self.model(store, id, model),
            Change::Assertions { store, model, body } => {
                let number = self.number(store)?;
                self.apply(Some(store), Entry::Assertions { store: number, model: model.0.0, body })
            }
            Change::Tuples { store, mut query, at } => {
                self.expected(&query.expectations)?;
                let records = std::mem::take(&mut query.records);
                self.tuples(store, query, at).and_then(|()| self.records(records))
            }
            Change::Records { expectations, changes } => {
                self.expected(&expectations)?;
                self.records(changes)
            }
            Change::Import { store, tuples, records, at } => return self.import(store, &tuples, records, at),
            Change::Collection { store, change, tuples } => return self.collection(store, change, tuples),
            Change::Arranged(arranged) => {
                if let Some(bytes) = arranged.take_place(&mut self.state) {
                    (self.arranged, self.arranged_bytes) = (true, self.arranged_bytes.saturating_add(bytes));
                }
                Ok(())
            }
        };
        done.map(|()| 0)
    }

    fn model(&mut self, store: StoreId, id: ModelId, model: Box<Model>) -> Result<(), WriteError> {
        if let Some(entry) = self.state.store(store) {
            if entry.model(id).is_some() {
                return Err(WriteError::IdTaken { id: id.to_string() });
            }
            // As many as there can be: names that are known already count too.
            let relations = model.types.iter().flat_map(|t| &t.relations);
            let restrictions: usize = relations.clone().map(|r| r.subject_types.len()).sum();
            entry.index.room(model.types.len(), relations.count() + restrictions, restrictions).map_err(full)?;
        }
        let number = self.number(store)?;
        self.apply(Some(store), Entry::Model { store: number, id: id.0.0, model })
    }

    /// The number of a store, which is made when it is not there: OpenFGA lets one write models to any id.
    fn number(&mut self, id: StoreId) -> Result<u32, WriteError> {
        if self.state.store(id).is_none() {
            self.create(id, String::new(), Timestamp(0), false)?;
        }
        let store = self.state.store(id).ok_or(WriteError::Poisoned)?;
        Ok(store.number)
    }

    fn create(&mut self, id: StoreId, name: String, at: Timestamp, listed: bool) -> Result<(), WriteError> {
        let store = self.state.next_store;
        self.apply(Some(id), Entry::Create { store, id: id.0.0, name, at: at.0, listed })
    }

    fn tuples(&mut self, store: StoreId, query: WriteQuery, at: Timestamp) -> Result<(), WriteError> {
        let state = self.state.store(store).ok_or(QuestionError::StoreNotFound(store))?;
        let mut seen = HashSet::with_capacity(query.deletes.len() + query.writes.len());
        for tuple in query.deletes.iter().chain(&query.writes) {
            if !seen.insert(tuple.key()) {
                return Err(WriteError::DuplicateInRequest { tuple: Box::new(tuple.clone()) });
            }
        }
        drop(seen);
        let mut deletes = Vec::with_capacity(query.deletes.len());
        for tuple in query.deletes {
            if state.class_of(&tuple).is_some() {
                deletes.push(Tuple { condition: None, ..tuple });
            } else if query.on_missing == OnMissing::Error {
                return Err(WriteError::DoesNotExist { tuple: Box::new(tuple) });
            }
        }
        let mut writes = Vec::with_capacity(query.writes.len());
        for tuple in query.writes {
            if state.class_of(&tuple).is_none() {
                writes.push(tuple);
            } else if !skips(query.on_duplicate) {
                return Err(WriteError::AlreadyExists { tuple: Box::new(tuple) });
            } else if !state.holds(&tuple) {
                return Err(WriteError::ConditionDiffers { tuple: Box::new(tuple) });
            }
        }
        if deletes.is_empty() && writes.is_empty() {
            return Ok(());
        }
        let unknown = writes.iter().find(|tuple| column_at(&state.index, tuple).is_none());
        if let Some(tuple) = unknown {
            // The store was deleted and made anew since the model was asked.
            let fault = TupleFault::TypeNotFound { object_type: tuple.object.object_type.clone() };
            return Err(WriteError::Tuple { tuple: tuple.to_string(), fault });
        }
        room(state, &writes)?;
        let number = state.number;
        self.apply(Some(store), Entry::Tuples { store: number, at: at.0, deletes, writes })
    }

    /// Writes a chunk of which no two tuples have the same key; answers how many were not there.
    fn import(
        &mut self,
        store: StoreId,
        tuples: &[Tuple],
        records: Vec<super::RecordChange>,
        at: Timestamp,
    ) -> Result<u64, WriteError> {
        let state = self.state.store(store).ok_or(QuestionError::StoreNotFound(store))?;
        let mut writes = Vec::with_capacity(tuples.len());
        for tuple in tuples {
            match state.stored(tuple) {
                None => writes.push(tuple.clone()),
                Some(Stored::Same) => {}
                Some(Stored::Differently) => {
                    return Err(WriteError::ConditionDiffers { tuple: Box::new(tuple.clone()) });
                }
            }
        }
        room(state, &writes)?;
        let (store_number, written) = (state.number, writes.len() as u64);
        if written > 0 {
            let entry = Entry::Tuples { store: store_number, at: at.0, deletes: Vec::new(), writes };
            self.apply(Some(store), entry)?;
        }
        self.records(records)?;
        Ok(written)
    }

    /// Changes a collection, and tuples before it; answers how many chunks were deleted.
    fn collection(&mut self, store: StoreId, change: CollectionChange, tuples: WithTuples) -> Result<u64, WriteError> {
        let state = self.state.store(store).ok_or(QuestionError::StoreNotFound(store))?;
        // Judged before tuples are written: neither may be there without the other.
        let entry = collection::judge(state, change)?;
        if let Some((mut query, at)) = tuples {
            self.expected(&query.expectations)?;
            let records = std::mem::take(&mut query.records);
            self.tuples(store, query, at)?;
            self.records(records)?;
        }
        let Some((entry, deleted)) = entry else { return Ok(0) };
        self.apply(Some(store), entry)?;
        Ok(deleted)
    }

    fn records(&mut self, changes: Vec<super::RecordChange>) -> Result<(), WriteError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(changes.len());
        for mut change in changes {
            if change.appended {
                change.key.extend_from_slice(&self.revision.0.to_be_bytes());
                change.key.extend_from_slice(&self.appended.to_be_bytes());
                self.appended = self.appended.checked_add(1).ok_or(WriteError::Poisoned)?;
            }
            self.records.insert((change.module, change.key.clone()), (self.entries.len(), rows.len()));
            rows.push(change.into());
        }
        self.apply(None, Entry::Records { changes: rows })
    }

    /// Refuses when a record is not as it is expected: on disk, or as this group has changed it.
    fn expected(&self, expectations: &[super::RecordExpectation]) -> Result<(), WriteError> {
        for expectation in expectations {
            let super::RecordExpectation { module, key, value } = expectation;
            let holds = match self.changed(*module, key)? {
                Some(changed) => changed == value,
                None => {
                    let reading = self.sink.reading.as_ref().ok_or(WriteError::Poisoned)?;
                    let stored = reading.get(&super::records::prefix(module.name()).tail(key));
                    stored.map_err(|_| QuestionError::Storage)?.as_deref() == value.as_deref()
                }
            };
            if !holds {
                return Err(WriteError::RecordChanged { module: module.name() });
            }
        }
        Ok(())
    }

    /// What the group has made of a record; `None` when it has not changed it.
    fn changed(&self, module: super::Module, key: &[u8]) -> Result<Option<&Option<Vec<u8>>>, WriteError> {
        let Some((entry, row)) = self.records.get(&(module, key.to_vec())) else { return Ok(None) };
        let Some(Entry::Records { changes }) = self.entries.get(*entry) else { return Err(WriteError::Poisoned) };
        changes.get(*row).map(|RecordRow(_, _, value)| Some(value)).ok_or(WriteError::Poisoned)
    }

    fn apply(&mut self, id: Option<StoreId>, entry: Entry) -> Result<(), WriteError> {
        let done = self.state.apply(id, &entry, self.revision, &mut self.index, &mut self.sink);
        self.entries.push(entry);
        done.map_err(|error| {
            self.broken = true;
            match error {
                ApplyError::Full(bound) => full(bound),
                ApplyError::Misfit | ApplyError::Storage(_) => {
                    tracing::error!(%error, "an entry that was judged good does not fit the state");
                    WriteError::Poisoned
                }
            }
        })
    }

    /// Makes the group durable and publishes it.
    fn commit(mut self, inner: &Inner, before: &Snapshot) -> Result<Revision, WriteError> {
        if self.broken {
            // Names may have been numbered in memory that no row keeps: go no further with this state.
            inner.poisoned.store(true, Ordering::Release);
            return Err(WriteError::Poisoned);
        }
        if self.entries.is_empty() {
            if self.arranged {
                inner.publish_arranged(Arc::new(self.state), self.arranged_bytes);
            }
            return Ok(before.revision);
        }
        self.state.revision = self.revision;
        let done = self.rows(inner).and_then(|()| {
            let batch = std::mem::take(&mut self.sink.batch);
            inner.storage.commit(batch).map_err(|_| WriteError::Poisoned)
        });
        if let Err(error) = done {
            inner.poisoned.store(true, Ordering::Release);
            return Err(error);
        }
        // Before the snapshot that they lead to can be seen.
        for (store, gone) in &self.sink.forgotten {
            inner.kept.forget(*store, self.revision, *gone);
        }
        inner.kept.note(before.revision, self.revision, &self.sink.edges);
        let stores = self.sink.with_collections(&self.state);
        let kept_alive = self.sink.kept_alive(before).saturating_add(self.arranged_bytes);
        inner.publish(Arc::new(self.state), kept_alive);
        if inner.settings.arrange_threads > 0 {
            inner.arranger.wake(stores);
        }
        Ok(self.revision)
    }

    /// Adds the rows of the log and of the head, and takes away what the log no longer keeps.
    fn rows(&mut self, inner: &Inner) -> Result<(), WriteError> {
        let header = self.sink.header();
        let row = log::encode(&header, &self.entries).ok_or(WriteError::Poisoned)?;
        self.sink.batch.put(&Key::of(Table::Log).u64(self.revision.0), &row);
        self.sink.batch.put(&Key::of(Table::Meta).u16(1), &self.revision.0.to_be_bytes());
        for touched in &header.touched {
            if !self.alive(touched.store) {
                continue;
            }
            let key = Key::of(Table::LogByStore).u32(touched.store).u64(self.revision.0);
            self.sink.batch.put(&key, &[]);
            for t in &touched.types {
                let key = Key::of(Table::LogByType).u32(touched.store).u16(*t).u64(self.revision.0);
                self.sink.batch.put(&key, &[]);
            }
        }
        self.sink.put_sums(&self.state);
        trim::trim(&mut self.state, &mut self.sink, &inner.settings.log_retention, Timestamp(header.at))
            .map_err(|_| WriteError::Poisoned)
    }

    /// Whether a store that the group touched was not deleted by it.
    fn alive(&self, number: u32) -> bool {
        self.entries.iter().all(|entry| !matches!(entry, Entry::Delete { store } if *store == number))
    }
}

/// Whether all the names of the writes have room.
fn room(state: &StoreEntry, writes: &[Tuple]) -> Result<(), WriteError> {
    let id_bytes = |t: &Tuple| t.object.id.len().max(subject_id(&t.subject).map_or(0, str::len));
    if writes.iter().any(|t| id_bytes(t) > SUBJECT_BYTES_MAX) {
        return Err(WriteError::Full { what: "the length of an id in bytes", max: SUBJECT_BYTES_MAX as u64 });
    }
    state.index.names_room(writes.len() * 2).map_err(full)
}

pub(super) fn full(full: IndexFull) -> WriteError {
    WriteError::Full { what: full.what, max: full.max }
}
