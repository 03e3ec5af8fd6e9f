//! Records of a tenant: how they are named, read and changed.
//!
//! All of it goes through [`Tenant`], and there is one function that makes keys, which takes the tenant's number: nothing
//! can be read or written that is another's. A [`Change`] gathers records, tuples of the system store and audit events
//! into one write of the engine.

use super::written::keys_of;
use super::{Answer, ClientEdit, Env, Event, Refusal, Seconds, Tenant};
use crate::engine::{
    Module, OnDuplicate, OnMissing, RECORDS_PER_PAGE_MAX, RecordChange, RecordExpectation, WriteQuery,
};
use crate::tuple::{Revision, Timestamp, Tuple, TupleKeyRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The module whose records those of this room are.
pub const IDENTITY: Module = Module::new("identity");
/// Most records that one page of a list has.
pub const PAGE_MAX: usize = RECORDS_PER_PAGE_MAX;
/// Most records that one call of [`Tenant::sweep`] removes.
pub const SWEEP_MAX: usize = 200;
/// How long a record is kept after its time is over, so that who comes late is told why.
const KEPT_S: Seconds = 3_600;
/// The sort of the marks that say when a record's time is over. No record has it.
const EXPIRES: u8 = b'x';

/// The key of a record: the tenant, the sort, and what tells it from others of the sort. Parts are ids or hashes: they have
/// no zero byte.
#[must_use]
pub fn record_key(tenant: u32, sort: u8, parts: &[&str]) -> Vec<u8> {
    let mut key = tenant.to_be_bytes().to_vec();
    key.push(sort);
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            key.push(0);
        }
        key.extend_from_slice(part.as_bytes());
    }
    key
}

/// A kind of record: JSON under a key of its module and sort. A module declares its own with its own [`Module`].
pub trait Stored: Serialize + DeserializeOwned {
    /// Whose it is.
    const MODULE: Module = IDENTITY;
    /// The letter behind the tenant's number in the key; one for each kind within a module.
    const SORT: u8;
    /// What it is called in errors.
    const WHAT: &'static str;
}

/// A record as it was read, from which a change can say what it rests on.
#[derive(Clone, Debug)]
pub struct Held<T> {
    /// The record.
    pub value: T,
    pub(super) key: Vec<u8>,
    bytes: Vec<u8>,
}

impl<T> std::ops::Deref for Held<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Stored> Held<T> {
    fn read(key: Vec<u8>, bytes: Vec<u8>) -> Answer<Held<T>> {
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::failed("record.damaged", format!("a {}: {error}", T::WHAT)))?;
        Ok(Held { value, key, bytes })
    }

    /// The last part of its key.
    #[must_use]
    pub fn last(&self) -> String {
        let part = self.key.get(5..).and_then(|parts| parts.rsplit(|b| *b == 0).next());
        part.map(|p| String::from_utf8_lossy(p).into_owned()).unwrap_or_default()
    }
}

impl Tenant {
    /// A record.
    ///
    /// # Errors
    /// The disk failed, or the record is damaged.
    pub fn get<T: Stored>(&self, parts: &[&str]) -> Answer<Option<Held<T>>> {
        let key = record_key(self.number(), T::SORT, parts);
        let bytes = self.engine().records(T::MODULE).get(&key)?;
        bytes.map(|bytes| Held::read(key, bytes)).transpose()
    }

    /// A record that must be there.
    ///
    /// # Errors
    /// It is not; else as [`Tenant::get`].
    pub fn held<T: Stored>(&self, parts: &[&str]) -> Answer<Held<T>> {
        self.get(parts)?.ok_or_else(|| Refusal::not_found(T::WHAT))
    }

    /// Whether a record still is as it was read.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn is_as_read<T: Stored>(&self, held: &Held<T>) -> Answer<bool> {
        Ok(self.engine().records(T::MODULE).get(&held.key)?.is_some_and(|bytes| bytes == held.bytes))
    }

    /// Records whose key begins with all of `parts`, in the order of their keys, behind the one whose last part is `after`.
    /// At most `max` and never more than [`PAGE_MAX`]; a page that is not full is the last.
    ///
    /// # Errors
    /// As [`Tenant::get`].
    pub fn list<T: Stored>(&self, parts: &[&str], after: Option<&str>, max: usize) -> Answer<Vec<Held<T>>> {
        let keys = self.scan(T::MODULE, T::SORT, parts, after, max)?;
        keys.into_iter().map(|(key, bytes)| Held::read(key, bytes)).collect()
    }

    /// The last parts of the keys of an index that begin with all of `parts`; as [`Tenant::list`].
    ///
    /// # Errors
    /// The disk failed.
    pub fn marks(
        &self,
        module: Module,
        sort: u8,
        parts: &[&str],
        after: Option<&str>,
        max: usize,
    ) -> Answer<Vec<String>> {
        let keys = self.scan(module, sort, parts, after, max)?;
        // The tenant's number and the sort are no part, whatever bytes they have.
        let last =
            |key: &[u8]| key.get(5..)?.rsplit(|b| *b == 0).next().map(|p| String::from_utf8_lossy(p).into_owned());
        Ok(keys.iter().filter_map(|(key, _)| last(key)).collect())
    }

    fn scan(
        &self,
        module: Module,
        sort: u8,
        parts: &[&str],
        after: Option<&str>,
        max: usize,
    ) -> Answer<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut start = record_key(self.number(), sort, parts);
        if !parts.is_empty() {
            start.push(0); // `a` is no start of `ab`
        }
        let after = after.map(|after| [start.as_slice(), after.as_bytes()].concat());
        Ok(self.engine().records(module).scan(&start, after.as_deref(), max.min(PAGE_MAX))?)
    }

    /// Begins a change.
    pub fn change(&self, env: &Env<'_>) -> Change<'_> {
        Change {
            tenant: self,
            now: env.now,
            by: env.by.map(str::to_owned),
            by_in_history: None,
            records: Vec::new(),
            expectations: Vec::new(),
            writes: Vec::new(),
            deletes: Vec::new(),
            fault: None,
            action: None,
            clients: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Removes records of a module whose time is over for an hour, at most [`SWEEP_MAX`]; answers how many. Call it until it
    /// answers zero, and now and then.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sweep(&self, module: Module, env: &Env<'_>) -> Answer<usize> {
        let start = record_key(self.number(), EXPIRES, &[]);
        let records = self.engine().records(module);
        let (mut changes, mut swept) = (Vec::new(), 0);
        for (mark, _) in records.scan(&start, None, SWEEP_MAX)? {
            let Some((time, key)) = mark.get(start.len()..).and_then(<[u8]>::split_first_chunk::<8>) else { continue };
            if u64::from_be_bytes(*time).saturating_add(KEPT_S) > env.seconds() {
                break;
            }
            let tenant = self.number().to_be_bytes();
            changes.push(records.delete([tenant.as_slice(), key].concat()));
            changes.push(records.delete(mark));
            swept += 1;
        }
        if swept > 0 {
            records.write(changes)?;
        }
        Ok(swept)
    }
}

/// Where the mark is that removes the record of `key` when `at` has passed. The time sorts before the key.
fn expiry_mark(key: &[u8], at: Seconds) -> Vec<u8> {
    let (tenant, rest) = key.split_at_checked(4).unwrap_or((key, &[]));
    [tenant, &[EXPIRES], &at.to_be_bytes(), rest].concat()
}

/// Records, tuples and events that are written together, or not at all. See the file's head.
#[must_use = "nothing is changed before `commit`"]
pub struct Change<'a> {
    tenant: &'a Tenant,
    now: Timestamp,
    by: Option<String>,
    by_in_history: Option<String>,
    records: Vec<RecordChange>,
    expectations: Vec<RecordExpectation>,
    writes: Vec<Tuple>,
    deletes: Vec<Tuple>,
    fault: Option<Refusal>,
    /// What is done, as its first event has it.
    action: Option<String>,
    /// What it does to clients.
    clients: Vec<ClientEdit>,
    /// Whose history is kept by who makes the change.
    kept: Vec<String>,
}

impl<'a> Change<'a> {
    /// The same change; what is added from here on is of another tenant.
    pub(super) fn of(self, tenant: &'a Tenant) -> Change<'a> {
        Change { tenant, ..self }
    }

    fn bytes<T: Stored>(&mut self, value: &T) -> Vec<u8> {
        serde_json::to_vec(value).unwrap_or_else(|error| {
            self.fault = Some(Refusal::failed("record.form", format!("a {}: {error}", T::WHAT)));
            Vec::new()
        })
    }

    fn set(&mut self, module: Module, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.records.push(RecordChange { module, key, value, appended: false });
    }

    /// A record that must not be there yet.
    pub fn create<T: Stored>(&mut self, parts: &[&str], value: &T) {
        let key = record_key(self.tenant.number(), T::SORT, parts);
        self.expectations.push(RecordExpectation { module: T::MODULE, key: key.clone(), value: None });
        let bytes = self.bytes(value);
        self.set(T::MODULE, key, Some(bytes));
    }

    /// A record, whatever was there.
    pub fn put<T: Stored>(&mut self, parts: &[&str], value: &T) {
        let bytes = self.bytes(value);
        self.set(T::MODULE, record_key(self.tenant.number(), T::SORT, parts), Some(bytes));
    }

    /// Another value for a record that must still be as it was read.
    pub fn replace<T: Stored>(&mut self, held: &Held<T>, value: &T) {
        self.expect(held);
        let bytes = self.bytes(value);
        self.set(T::MODULE, held.key.clone(), Some(bytes));
    }

    /// Rests on a record: it must still be as it was read.
    pub fn expect<T: Stored>(&mut self, held: &Held<T>) {
        let value = Some(held.bytes.clone());
        self.expectations.push(RecordExpectation { module: T::MODULE, key: held.key.clone(), value });
    }

    /// Takes away a record that must still be as it was read.
    pub fn remove<T: Stored>(&mut self, held: &Held<T>) {
        self.expect(held);
        self.set(T::MODULE, held.key.clone(), None);
    }

    /// Says when the time of a record is over, after which [`Tenant::sweep`] removes it. `before`, when that was said
    /// already and has changed.
    pub fn expires<T: Stored>(&mut self, parts: &[&str], at: Seconds, before: Option<Seconds>) {
        let key = record_key(self.tenant.number(), T::SORT, parts);
        self.expires_key(T::MODULE, &key, at, before);
    }

    fn expires_key(&mut self, module: Module, key: &[u8], at: Seconds, before: Option<Seconds>) {
        if let Some(before) = before {
            self.set(module, expiry_mark(key, before), None);
        }
        self.set(module, expiry_mark(key, at), Some(Vec::new()));
    }

    /// An entry of an index: a key without a value.
    pub fn mark(&mut self, module: Module, sort: u8, parts: &[&str]) {
        let key = record_key(self.tenant.number(), sort, parts);
        self.set(module, key, Some(Vec::new()));
    }

    /// The same, which goes when its time is over. `before` as in [`Change::expires`].
    pub fn mark_until(&mut self, module: Module, sort: u8, parts: &[&str], at: Seconds, before: Option<Seconds>) {
        let key = record_key(self.tenant.number(), sort, parts);
        self.expires_key(module, &key, at, before);
        self.set(module, key, Some(Vec::new()));
    }

    /// Takes an entry of an index away.
    pub fn unmark(&mut self, module: Module, sort: u8, parts: &[&str]) {
        self.set(module, record_key(self.tenant.number(), sort, parts), None);
    }

    /// What happened, by whoever administers: an event of another person has them in its detail `by`. One that is of another
    /// tenant is a mistake of the caller's and refuses the change.
    pub fn event(&mut self, event: &Event) {
        if event.tenant() != self.tenant.number() {
            self.fault = Some(Refusal::failed("event.tenant", "an event of another tenant"));
        }
        if self.action.is_none() {
            self.action = Some(event.get_action().unwrap_or(event.kind().name()).to_owned());
        }
        self.records.push(match &self.by {
            Some(by) => event.clone().administered_by(by).change(),
            None => event.change(),
        });
    }

    /// Says who makes the change, for its history, where its caller knows better than the [`Env`].
    pub fn said_by(&mut self, by: &str) {
        self.by_in_history = Some(by.to_owned());
    }

    /// Says that the history of an agent, as `agent:ID`, is in the change already.
    pub fn has_history_of(&mut self, agent: &str) {
        self.kept.push(agent.to_owned());
    }

    /// Says what the change does to a client.
    pub(super) fn edits_client(&mut self, edits: impl IntoIterator<Item = ClientEdit>) {
        self.clients.extend(edits);
    }

    /// A tuple of the system store; nothing when it is there.
    pub fn relate(&mut self, object: &str, relation: &str, subject: &str) {
        if let Some(tuple) = self.tuple(object, relation, subject) {
            self.writes.push(tuple);
        }
    }

    /// Takes a tuple of the system store away; nothing when it is not there.
    pub fn unrelate(&mut self, object: &str, relation: &str, subject: &str) {
        if let Some(tuple) = self.tuple(object, relation, subject) {
            self.deletes.push(tuple);
        }
    }

    fn tuple(&mut self, object: &str, relation: &str, subject: &str) -> Option<Tuple> {
        match TupleKeyRef::parse(object, relation, subject) {
            Ok(key) => Some(key.to_tuple()),
            Err(error) => {
                self.fault = Some(Refusal::failed("tuple.form", error.to_string()));
                None
            }
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &'a Tenant {
        self.tenant
    }

    /// When it is made.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.now
    }

    /// Who makes it, as a subject; nobody, when it is a command on this machine or somebody's own doing.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.by_in_history.as_deref().or(self.by.as_deref())
    }

    /// What is done: the action of its first event, or the kind.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.action.as_deref()
    }

    /// The tuples that it takes away, and those that it writes; some may be gone, or there, already.
    #[must_use]
    pub fn tuples(&self) -> [&[Tuple]; 2] {
        [&self.deletes, &self.writes]
    }

    /// What it does to clients.
    #[must_use]
    pub fn client_edits(&self) -> &[ClientEdit] {
        &self.clients
    }

    /// Whether the history of an agent, as `agent:ID`, is in it already.
    #[must_use]
    pub fn keeps_history_of(&self, agent: &str) -> bool {
        self.kept.iter().any(|kept| kept == agent)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.writes.is_empty() && self.deletes.is_empty()
    }

    /// Writes it, and answers the revision at which it holds.
    ///
    /// # Errors
    /// [`Refusal::is_stale`] when a record is not what the change rests on, and then nothing was changed; else the disk
    /// failed, or a bound of the engine is reached.
    pub fn commit(mut self) -> Answer<Revision> {
        if let Some(historian) = self.tenant.identity().historian() {
            historian.keep(&mut self)?;
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let (engine, writes) = (self.tenant.engine(), self.tenant.identity().writes());
        let keys = keys_of(&self.records);
        if self.writes.is_empty() && self.deletes.is_empty() {
            let revision = engine.records(IDENTITY).write_if(self.expectations, self.records)?.revision;
            writes.note(self.tenant.number(), keys);
            return Ok(revision);
        }
        let query = WriteQuery {
            writes: self.writes,
            deletes: self.deletes,
            on_duplicate: OnDuplicate::Ignore,
            on_missing: OnMissing::Ignore,
            records: self.records,
            expectations: self.expectations,
        };
        let revision = engine.write(self.tenant.system_store(), None, query, self.now)?.revision;
        writes.note(self.tenant.number(), keys);
        Ok(revision)
    }
}
