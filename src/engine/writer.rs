//! The one writer: takes all waiting requests, judges each against the state in which it will be, commits them together
//! with one sync, publishes, acknowledges.

use super::bulk::Stored;
use super::entry::{Entry, Row, skips};
use super::state::{ApplyError, Sink, Snapshot};
use super::types::{OnMissing, QuestionError, WriteError, WriteQuery};
use super::{Inner, types::At};
use crate::model::Model;
use crate::storage::{Key, Table};
use crate::tuple::{ModelId, Revision, StoreId, Timestamp, Tuple};
use crossbeam::channel::{Receiver, Sender};
use hashbrown::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Requests that may wait; the next ones block.
pub(super) const QUEUE_MAX: usize = 4_096;
/// Requests that share a sync.
const GROUP_MAX: usize = 1_024;
/// Tuple changes after which a group is closed, so that one batch stays of a size.
const GROUP_TUPLES_MAX: usize = 50_000;

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
        changes: Vec<super::RecordChange>,
    },
}

/// A waiting request.
pub(super) struct Job {
    pub(super) change: Change,
    /// Gets the number of tuples written.
    pub(super) reply: Sender<Result<At<u64>, WriteError>>,
}

/// Runs until every handle is gone.
pub(super) fn run(inner: &Inner, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        let mut tuples = 0;
        while group.len() < GROUP_MAX && tuples < GROUP_TUPLES_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            tuples += match &job.change {
                Change::Tuples { query, .. } => query.writes.len() + query.deletes.len(),
                Change::Import { tuples, .. } => tuples.len(),
                Change::Create { .. }
                | Change::Delete { .. }
                | Change::Model { .. }
                | Change::Assertions { .. }
                | Change::Records { .. } => 0,
            };
            group.push(job);
        }
        serve(inner, group);
    }
}

fn serve(inner: &Inner, group: Vec<Job>) {
    let mut replies = Vec::with_capacity(group.len());
    if inner.poisoned.load(Ordering::Acquire) {
        for job in group {
            let _ = job.reply.send(Err(WriteError::Poisoned)); // a caller that went away needs no answer
        }
        return;
    }
    let published = inner.snapshot.load_full();
    let mut group_state = Group {
        state: Snapshot::clone(&published),
        sink: Sink::new(inner.storage.reading()),
        revision: Revision(published.revision.0 + 1),
        index: 0,
        entries: Vec::new(),
        broken: false,
    };
    for job in group {
        let outcome = group_state.judge(job.change);
        replies.push((job.reply, outcome));
    }
    let outcome = group_state.commit(inner);
    for (reply, judged) in replies {
        let answer = match (&outcome, judged) {
            (Ok(revision), Ok(written)) => Ok(At { revision: *revision, value: written }),
            (_, Err(refused)) => Err(refused),
            (Err(failed), Ok(_)) => Err(failed.clone()),
        };
        let _ = reply.send(answer); // likewise
    }
}

struct Group<'a> {
    state: Snapshot,
    sink: Sink<'a>,
    revision: Revision,
    index: u32,
    entries: Vec<Entry>,
    /// An entry failed half way: nothing of this group may be kept.
    broken: bool,
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
            Change::Model { store, id, model } => {
                let number = self.number(store)?;
                if self.state.store(store).is_some_and(|s| s.model(id).is_some()) {
                    return Err(WriteError::IdTaken { id: id.to_string() });
                }
                self.apply(Some(store), Entry::Model { store: number, id: id.0.0, model: *model })
            }
            Change::Assertions { store, model, body } => {
                let number = self.number(store)?;
                self.apply(Some(store), Entry::Assertions { store: number, model: model.0.0, body })
            }
            Change::Tuples { store, mut query, at } => {
                let records = std::mem::take(&mut query.records);
                self.tuples(store, &query, at).and_then(|()| self.records(records))
            }
            Change::Records { changes } => self.records(changes),
            Change::Import { store, tuples, records, at } => return self.import(store, &tuples, records, at),
        };
        done.map(|()| 0)
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

    fn tuples(&mut self, store: StoreId, query: &WriteQuery, at: Timestamp) -> Result<(), WriteError> {
        let state = self.state.store(store).ok_or(QuestionError::StoreNotFound(store))?;
        let mut seen = HashSet::new();
        for tuple in query.deletes.iter().chain(&query.writes) {
            if !seen.insert(tuple.key()) {
                return Err(WriteError::DuplicateInRequest { tuple: Box::new(tuple.clone()) });
            }
        }
        let found = |tuple: &Tuple| {
            let (column, object, subject) = state.locate(tuple)?;
            state.index.find(column, object, subject).map(|class| class.map(|c| state.index.class(c)))
        };
        let mut deletes = Vec::new();
        for tuple in &query.deletes {
            match (found(tuple), query.on_missing) {
                (Some(_), _) => deletes.push(Row::from(&Tuple { condition: None, ..tuple.clone() })),
                (None, OnMissing::Ignore) => {}
                (None, OnMissing::Error) => {
                    return Err(WriteError::DoesNotExist { tuple: Box::new(tuple.clone()) });
                }
            }
        }
        let mut writes = Vec::new();
        for tuple in &query.writes {
            let Some(class) = found(tuple) else {
                writes.push(Row::from(tuple));
                continue;
            };
            if !skips(query.on_duplicate) {
                return Err(WriteError::AlreadyExists { tuple: Box::new(tuple.clone()) });
            }
            let same = match (class, &tuple.condition) {
                (None, None) => true,
                (Some(stored), Some(given)) => stored.condition == given.name && stored.context == given.context,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !same {
                return Err(WriteError::ConditionDiffers { tuple: Box::new(tuple.clone()) });
            }
        }
        if deletes.is_empty() && writes.is_empty() {
            return Ok(());
        }
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
                None => writes.push(Row::from(tuple)),
                Some(Stored::Same) => {}
                Some(Stored::Differently) => {
                    return Err(WriteError::ConditionDiffers { tuple: Box::new(tuple.clone()) });
                }
            }
        }
        let (store_number, written) = (state.number, writes.len() as u64);
        if written > 0 {
            let entry = Entry::Tuples { store: store_number, at: at.0, deletes: Vec::new(), writes };
            self.apply(Some(store), entry)?;
        }
        self.records(records)?;
        Ok(written)
    }

    fn records(&mut self, changes: Vec<super::RecordChange>) -> Result<(), WriteError> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.into_iter().map(Into::into).collect();
        self.apply(None, Entry::Records { changes })
    }

    fn apply(&mut self, id: Option<StoreId>, entry: Entry) -> Result<(), WriteError> {
        let done = self.state.apply(id, &entry, self.revision, &mut self.index, &mut self.sink);
        self.entries.push(entry);
        done.map_err(|error| {
            self.broken = true;
            match error {
                ApplyError::Full(full) => WriteError::Full { what: full.what, max: full.max },
                ApplyError::Misfit | ApplyError::Storage(_) => {
                    tracing::error!(%error, "an entry that was judged good does not fit the state");
                    WriteError::Poisoned
                }
            }
        })
    }

    /// Makes the group durable and publishes it.
    fn commit(mut self, inner: &Inner) -> Result<Revision, WriteError> {
        if self.broken {
            // Names may have been numbered in memory that no row keeps: go no further with this state.
            inner.poisoned.store(true, Ordering::Release);
            return Err(WriteError::Poisoned);
        }
        if self.entries.is_empty() {
            return Ok(inner.snapshot.load().revision);
        }
        let log = serde_json::to_vec(&self.entries).map_err(|_| WriteError::Poisoned)?;
        self.sink.batch.put(&Key::of(Table::Log).u64(self.revision.0), &log);
        self.sink.batch.put(&Key::of(Table::Meta).u16(1), &self.revision.0.to_be_bytes());
        for entry in &self.entries {
            if let Entry::Tuples { store, .. } = entry {
                let key = Key::of(Table::LogByStore).u32(*store).u64(self.revision.0);
                self.sink.batch.put(&key, &[]);
            }
        }
        let batch = std::mem::take(&mut self.sink.batch);
        if inner.storage.commit(batch).is_err() {
            inner.poisoned.store(true, Ordering::Release);
            return Err(WriteError::Poisoned);
        }
        self.state.revision = self.revision;
        inner.publish(Arc::new(self.state));
        Ok(self.revision)
    }
}
