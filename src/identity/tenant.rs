//! Tenants: issuers with users, clients, keys and a system store of their own.
//!
//! [`Identity`] is the handle of all; [`Tenant`] is one, and the only way to anything that is in it.

use super::custom::CompiledClaims;
use super::edits;
use super::keys::KeyChain;
use super::limit::Counts;
use super::written::Writes;
use super::{
    Answer, Change, DetailTypes, Env, ErrorCode, Event, EventKind, Held, Historian, Leaving, MACHINE, Outcome, Refusal,
    Seconds, Stored, TenantSettings, hash_of, record_key,
};
use crate::engine::{CheckQuery, Consistency, Decision, Engine, Given, Limits, View};
use crate::model::Model;
use crate::secrets::KeyRing;
use crate::tuple::{ModelId, ObjectRef, Revision, StoreId, SubjectRef, TupleKeyRef};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use url::Url;

/// The model of every system store.
pub const SYSTEM_MODEL: &str = include_str!("../../schema/system.fga");
/// Most tenants of one database.
pub const TENANTS_MAX: u32 = 10_000;
/// Longest issuer.
pub const ISSUER_BYTES_MAX: usize = 256;
/// Longest name of a tenant.
const NAME_BYTES_MAX: usize = 32;
/// How often what rests on a record that changed meanwhile is tried again.
const RETRIES: usize = 4;
/// The number under which what belongs to no tenant is kept. No tenant has it.
const NOBODY: u32 = 0;

/// A tenant as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRecord {
    /// Its number, never used twice.
    pub number: u32,
    /// Its name: small letters, digits and `-`. Never changed: it stands in tuples.
    pub name: String,
    /// Its issuer, byte for byte as it stands in tokens. With a slash at the end, or without.
    pub issuer: String,
    /// When it was made.
    pub created_at: Seconds,
    /// Lives and defaults.
    pub settings: TenantSettings,
}

impl Stored for TenantRecord {
    const SORT: u8 = b't';
    const WHAT: &'static str = "tenant";
}

/// The next number; and which tenant has a name or an issuer.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    tenant: u32,
}

impl Stored for Number {
    const SORT: u8 = b'#';
    const WHAT: &'static str = "number of a tenant";
}

/// All tenants, and who is which issuer, without a slash at its end.
#[derive(Default)]
struct Known {
    numbers: BTreeMap<u32, Arc<TenantRecord>>,
    issuers: HashMap<String, u32>,
}

impl Known {
    fn insert(&mut self, record: Arc<TenantRecord>) {
        self.issuers.insert(record.issuer.trim_end_matches('/').to_owned(), record.number);
        self.numbers.insert(record.number, record);
    }
}

struct Inner {
    engine: Engine,
    ring: KeyRing,
    /// INVARIANT: what is on disk; whoever changes a tenant's record changes it here, under the lock.
    tenants: RwLock<Known>,
    /// Opened keys, beside the record they were opened from.
    keys: Mutex<HashMap<u32, Arc<KeyChain>>>,
    /// Compiled claims of tenants, beside the record that they were compiled from.
    claims: Mutex<HashMap<u32, Arc<CompiledClaims>>>,
    limits: Counts,
    /// Where clients show certificates, once somebody listens there.
    mutual_tls_port: OnceLock<u16>,
    /// Who keeps what becomes of agents, once somebody does.
    historian: OnceLock<Arc<dyn Historian>>,
    writes: Writes,
    /// Who knows types of authorization details, once somebody does.
    detail_types: OnceLock<Arc<dyn DetailTypes>>,
}

/// The identities of a database. Clones share it.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("ring", &self.inner.ring).finish_non_exhaustive()
    }
}

/// One tenant, as it was when it was asked for. Everything that is in it is reached through this.
#[derive(Clone)]
pub struct Tenant {
    identity: Identity,
    record: Arc<TenantRecord>,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.record.fmt(f)
    }
}

/// What is right for an issuer: an absolute `https` URL, or `http` of this machine, without query, fragment or user.
fn check_issuer(issuer: &str) -> Answer<()> {
    let refuse = |why: &str| {
        let text = format!("`{issuer}` cannot be an issuer: {why}");
        Err(Refusal::new(ErrorCode::InvalidRequest, "tenant.issuer", text))
    };
    let Ok(url) = Url::parse(issuer) else { return refuse("write a URL, as `https://id.example.com/acme`") };
    if issuer.len() > ISSUER_BYTES_MAX || !issuer.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse("it is too long, or has characters that are not plain ASCII");
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return refuse("it has a query, a fragment or a user (RFC 8414 2)");
    }
    if !super::is_secure(&url) {
        return refuse("it is not `https`; only addresses of this machine may be `http`");
    }
    // What a URL parser would change would not be the same byte for byte in a client.
    if url.as_str().trim_end_matches('/') != issuer.trim_end_matches('/') || issuer.ends_with("//") {
        return refuse("it is not written as URLs are: small letters, no default port, no `..`, one slash at the end");
    }
    Ok(())
}

/// [`SYSTEM_MODEL`], read once.
fn system_model() -> Answer<&'static Model> {
    static MODEL: OnceLock<Option<Model>> = OnceLock::new();
    let model = MODEL.get_or_init(|| Model::parse_dsl(SYSTEM_MODEL).ok());
    model.as_ref().ok_or_else(|| Refusal::failed("tenant.model", "schema/system.fga does not parse"))
}

/// The tenants of a database, by their numbers: for what needs no key.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn tenant_names(engine: &Engine) -> Answer<Vec<(u32, String)>> {
    let start = record_key(NOBODY, TenantRecord::SORT, &[]);
    let records = engine.records(TenantRecord::MODULE);
    let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = records.scan(&start, after.as_deref(), super::PAGE_MAX)?;
        for (_, bytes) in &page {
            let record: TenantRecord = serde_json::from_slice(bytes)
                .map_err(|error| Refusal::failed("record.damaged", format!("a {}: {error}", TenantRecord::WHAT)))?;
            all.push((record.number, record.name));
        }
        match page.last() {
            Some((key, _)) if page.len() == super::PAGE_MAX => after = Some(key.clone()),
            _ => return Ok(all),
        }
    }
}

/// Sees that a tenant could have a name and an issuer, before anything is made for it.
///
/// # Errors
/// It could not.
pub fn check_tenant(name: &str, issuer: &str) -> Answer<()> {
    check_name(name)?;
    check_issuer(issuer)
}

fn check_name(name: &str) -> Answer<()> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fine) {
        let text = format!("`{name}` cannot name a tenant; use 1 to {NAME_BYTES_MAX} small letters, digits and `-`");
        return Err(Refusal::new(ErrorCode::InvalidRequest, "tenant.name", text));
    }
    Ok(())
}

impl Identity {
    /// Opens the identities of a database. The ring opens what is sealed; `env` writes a newer model of the system stores
    /// where there is one.
    ///
    /// # Errors
    /// The disk failed, or a record is damaged.
    pub fn open(engine: Engine, ring: KeyRing, env: &Env<'_>) -> Answer<Identity> {
        let inner = Inner {
            engine,
            ring,
            tenants: RwLock::default(),
            keys: Mutex::default(),
            claims: Mutex::default(),
            limits: Counts::default(),
            mutual_tls_port: OnceLock::new(),
            historian: OnceLock::new(),
            writes: Writes::default(),
            detail_types: OnceLock::new(),
        };
        let identity = Identity { inner: Arc::new(inner) };
        let nobody = identity.nobody();
        let mut after: Option<String> = None;
        loop {
            let page: Vec<Held<TenantRecord>> = nobody.list(&[], after.as_deref(), super::PAGE_MAX)?;
            for held in &page {
                identity.write_model(held.number, env)?;
                identity.inner.tenants.write().insert(Arc::new(held.value.clone()));
            }
            if page.len() < super::PAGE_MAX {
                return Ok(identity);
            }
            after = page.last().map(Held::last);
        }
    }

    /// Where what belongs to no tenant is kept.
    fn nobody(&self) -> Tenant {
        let record = TenantRecord {
            number: NOBODY,
            name: String::new(),
            issuer: String::new(),
            created_at: 0,
            settings: TenantSettings::default(),
        };
        Tenant { identity: self.clone(), record: Arc::new(record) }
    }

    fn write_model(&self, number: u32, env: &Env<'_>) -> Answer<()> {
        let store = StoreId::system(number);
        let model = system_model()?;
        if self.inner.engine.latest_model(store).is_ok_and(|stored| *stored.model == *model) {
            return Ok(());
        }
        let id = ulid::Ulid::from_string(&env.id()).map_err(|e| Refusal::failed("tenant.model", e.to_string()))?;
        self.inner.engine.write_model(store, ModelId(id), model.clone())?;
        Ok(())
    }

    /// Makes a tenant, with its first signing key.
    ///
    /// # Errors
    /// The name or the issuer is not right, or taken.
    pub fn create_tenant(&self, name: &str, issuer: &str, settings: &TenantSettings, env: &Env<'_>) -> Answer<Tenant> {
        check_tenant(name, issuer)?;
        again(|| self.try_create(name, issuer, settings, env))
    }

    fn try_create(&self, name: &str, issuer: &str, settings: &TenantSettings, env: &Env<'_>) -> Answer<Tenant> {
        let nobody = self.nobody();
        let issuer_part = hash_of(issuer.trim_end_matches('/'));
        let (named, issued) = (["name", name], ["issuer", issuer_part.as_str()]);
        for (parts, what) in [(&named, "name"), (&issued, "issuer")] {
            if nobody.get::<Number>(parts)?.is_some() {
                let text = format!("there is a tenant of this {what} already");
                return Err(Refusal::new(ErrorCode::Conflict, "tenant.taken", text));
            }
        }
        let next = nobody.get::<Number>(&["next"])?;
        let number = next.as_ref().map_or(1, |next| next.tenant);
        if number > TENANTS_MAX {
            let text = format!("there are {TENANTS_MAX} tenants, which is the most");
            return Err(Refusal::new(ErrorCode::Conflict, "tenant.max", text));
        }
        self.write_model(number, env)?;
        let record = Arc::new(TenantRecord {
            number,
            name: name.to_owned(),
            issuer: issuer.to_owned(),
            created_at: env.seconds(),
            settings: settings.clone(),
        });
        let tenant = Tenant { identity: self.clone(), record: Arc::clone(&record) };
        let mut global = nobody.change(env);
        match &next {
            Some(held) => global.replace(held, &Number { tenant: number + 1 }),
            None => global.create(&["next"], &Number { tenant: number + 1 }),
        }
        global.create(&named, &Number { tenant: number });
        global.create(&issued, &Number { tenant: number });
        global.create(&[&padded(number)], &*record);
        let mut global = global.of(&tenant);
        tenant.first_keys(&mut global, env)?;
        let event = tenant.event(EventKind::TenantCreated, Outcome::Done, env).resource(tenant.object());
        global.event(&event.detail("issuer", issuer));
        let mut tenants = self.inner.tenants.write();
        global.commit()?;
        tenants.insert(record);
        drop(tenants);
        Ok(tenant)
    }

    /// All tenants, in the order of their numbers.
    #[must_use]
    pub fn tenants(&self) -> Vec<Tenant> {
        let tenants = self.inner.tenants.read();
        tenants.numbers.values().map(|record| Tenant { identity: self.clone(), record: Arc::clone(record) }).collect()
    }

    /// The tenant of a number.
    #[must_use]
    pub fn tenant(&self, number: u32) -> Option<Tenant> {
        let record = self.inner.tenants.read().numbers.get(&number).cloned();
        record.map(|record| Tenant { identity: self.clone(), record })
    }

    /// The tenant of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str) -> Answer<Tenant> {
        let found = self.inner.tenants.read().numbers.values().find(|record| record.name == name).cloned();
        let record = found.ok_or_else(|| Refusal::not_found("tenant"))?;
        Ok(Tenant { identity: self.clone(), record })
    }

    /// The tenant of an issuer. A slash at the end makes no difference.
    #[must_use]
    pub fn issuing(&self, issuer: &str) -> Option<Tenant> {
        let known = self.inner.tenants.read();
        let record = known.numbers.get(known.issuers.get(issuer.trim_end_matches('/'))?).cloned();
        record.map(|record| Tenant { identity: self.clone(), record })
    }

    /// Says that clients of all issuers may show certificates (RFC 8705) at this port of the issuers' hosts. It is said once.
    pub fn set_mutual_tls_port(&self, port: u16) {
        let _ = self.inner.mutual_tls_port.set(port); // whoever serves twice serves at the first
    }

    /// Says who looks at each change from now on, and keeps what it does to agents. It is said once.
    pub fn set_historian(&self, historian: Arc<dyn Historian>) {
        let _ = self.inner.historian.set(historian); // the first goes on
    }

    pub(super) fn historian(&self) -> Option<&dyn Historian> {
        self.inner.historian.get().map(|historian| &**historian)
    }

    /// Says who knows the types of authorization details from now on. It is said once; before it, there are none.
    pub fn set_detail_types(&self, types: Arc<dyn DetailTypes>) {
        let _ = self.inner.detail_types.set(types); // the first goes on
    }

    pub(super) fn detail_types(&self) -> Option<&dyn DetailTypes> {
        self.inner.detail_types.get().map(|types| &**types)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The keys that seal.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.inner.ring
    }

    pub(super) fn compiled(&self) -> &Mutex<HashMap<u32, Arc<CompiledClaims>>> {
        &self.inner.claims
    }

    pub(super) fn writes(&self) -> &Writes {
        &self.inner.writes
    }

    pub(super) fn limits(&self) -> &Counts {
        &self.inner.limits
    }

    pub(super) fn opened(&self) -> &Mutex<HashMap<u32, Arc<KeyChain>>> {
        &self.inner.keys
    }
}

/// A number as text that sorts as numbers do.
fn padded(number: u32) -> String {
    format!("{number:010}")
}

/// Does what rests on records again when one has changed meanwhile.
///
/// # Errors
/// What it answers at last.
pub fn again<T>(mut act: impl FnMut() -> Answer<T>) -> Answer<T> {
    for _ in 1..RETRIES {
        match act() {
            Err(refusal) if refusal.is_stale() => {}
            done => return done,
        }
    }
    act()
}

impl Tenant {
    /// What is kept of it.
    #[must_use]
    pub fn record(&self) -> &TenantRecord {
        &self.record
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.record.number
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Its issuer, byte for byte.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.record.issuer
    }

    /// A URL below the issuer: `path` begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.record.issuer.trim_end_matches('/'))
    }

    /// The same path where clients show certificates; `None` when they can nowhere.
    #[must_use]
    pub fn mutual_tls_url(&self, path: &str) -> Option<String> {
        let mut url = Url::parse(&self.url(path)).ok()?;
        url.set_scheme("https").ok()?;
        url.set_port(Some(*self.identity.inner.mutual_tls_port.get()?)).ok()?;
        Some(url.into())
    }

    /// The same for a URL of the issuer's.
    pub(super) fn mutual_tls_of(&self, url: &str) -> Option<String> {
        self.mutual_tls_url(url.strip_prefix(self.record.issuer.trim_end_matches('/'))?)
    }

    /// Lives and defaults.
    #[must_use]
    pub fn settings(&self) -> &TenantSettings {
        &self.record.settings
    }

    /// The object that stands for it in its system store: `tenant:NAME`.
    #[must_use]
    pub fn object(&self) -> String {
        format!("tenant:{}", self.record.name)
    }

    /// The store in which everything about it is decided.
    #[must_use]
    pub fn system_store(&self) -> StoreId {
        StoreId::system(self.record.number)
    }

    /// The handle of all.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.identity.engine()
    }

    /// Begins an event of it.
    #[must_use]
    pub fn event(&self, kind: EventKind, outcome: Outcome, env: &Env<'_>) -> Event {
        let mut event = Event::new(self.record.number, kind, outcome, env.now);
        if let Some(trace) = env.trace {
            event = event.trace(trace);
        }
        if let Some(address) = env.address {
            event = event.address(address);
        }
        event
    }

    /// The system store as it is now: all Checks of one decision ask one view.
    ///
    /// # Errors
    /// The store is not there.
    pub fn view(&self) -> Answer<View> {
        Ok(self.engine().view(self.system_store(), None, Consistency::Latest)?)
    }

    /// Whether somebody may, by a Check in the system store now.
    ///
    /// # Errors
    /// It could not be decided, which allows nothing.
    pub fn check(&self, subject: &str, relation: &str, object: &str) -> Answer<Decision> {
        check(&self.view()?, subject, relation, object)
    }

    /// Whether a subject, as `user:ID`, `agent:ID` or `app:ID`, may act at all.
    ///
    /// # Errors
    /// It could not be decided.
    pub fn is_active(&self, subject: &str) -> Answer<bool> {
        Ok(self.check(subject, "active", &self.object())? == Decision::Allow)
    }

    /// Lets a subject do nothing for now, or again. One tuple, which every decision sees from the next on. A person who is
    /// suspended is signed out everywhere besides, as by [`Tenant::sign_out_everywhere`]: who may act again signs in again.
    ///
    /// # Errors
    /// It is the last administrator, and not a command that asks ([`MACHINE`]); or the disk failed.
    pub fn suspend(&self, subject: &str, suspended: bool, by: Option<&str>, env: &Env<'_>) -> Answer<Revision> {
        again(|| {
            let mut change = self.change(env);
            self.add_suspension(&mut change, subject, suspended, by, env)?;
            change.commit()
        })
    }

    fn add_suspension(
        &self,
        change: &mut Change<'_>,
        subject: &str,
        suspended: bool,
        by: Option<&str>,
        env: &Env<'_>,
    ) -> Answer<()> {
        self.put_suspended(change, subject, suspended, by, env)?;
        self.contain(change, subject, suspended, env)?;
        if let Some(("user", id)) = subject.split_once(':').filter(|_| suspended) {
            self.end_all_of(change, id, "suspended", env)?;
        }
        Ok(())
    }

    /// As [`Tenant::suspend`], in a change that has more: who signs a person out does it there.
    ///
    /// # Errors
    /// It is the last administrator, or it could not be decided.
    pub fn put_suspended(
        &self,
        change: &mut Change<'_>,
        subject: &str,
        suspended: bool,
        by: Option<&str>,
        env: &Env<'_>,
    ) -> Answer<()> {
        // Who runs the database stops anybody at once, the last administrator too: their account may be in wrong hands.
        if suspended && env.by != Some(MACHINE) {
            self.spare_administrator(change, Leaving::Somebody(subject))?;
        }
        let kind = match (subject.split_once(':').map(|(kind, _)| kind), suspended) {
            (Some("agent"), true) => EventKind::AgentSuspended,
            (Some("agent"), false) => EventKind::AgentResumed,
            (Some("user"), true) => EventKind::UserSuspended,
            (Some("user"), false) => EventKind::UserResumed,
            _ => EventKind::ClientChanged,
        };
        if suspended {
            change.relate(&self.object(), "suspended", subject);
        } else {
            change.unrelate(&self.object(), "suspended", subject);
        }
        let mut event = self.event(kind, Outcome::Done, env).resource(subject);
        event = event.detail("suspended", if suspended { "yes" } else { "no" });
        if let Some(by) = by {
            event = event.user(by);
            change.said_by(by);
        }
        change.event(&event);
        Ok(())
    }

    /// Lets nobody of the tenant do anything for now, or again.
    ///
    /// # Errors
    /// The disk failed.
    pub fn suspend_all(&self, suspended: bool, env: &Env<'_>) -> Answer<Revision> {
        let mut change = self.change(env);
        for everybody in ["user:*", "agent:*", "app:*"] {
            if suspended {
                change.relate(&self.object(), "suspended", everybody);
            } else {
                change.unrelate(&self.object(), "suspended", everybody);
            }
        }
        let kind = if suspended { EventKind::TenantSuspended } else { EventKind::TenantResumed };
        change.event(&self.event(kind, Outcome::Done, env).resource(self.object()));
        change.commit()
    }

    /// Changes lives and defaults. What was handed out keeps the end it has.
    ///
    /// # Errors
    /// One is out of its bounds, or somebody was faster.
    pub fn change_settings(&self, settings: TenantSettings, env: &Env<'_>) -> Answer<Tenant> {
        settings.check()?;
        let nobody = self.identity.nobody();
        let mut tenants = self.identity.inner.tenants.write();
        let held = nobody.held::<TenantRecord>(&[&padded(self.number())])?;
        let record = TenantRecord { settings, ..held.value.clone() };
        let mut change = nobody.change(env);
        change.replace(&held, &record);
        let mut change = change.of(self);
        let edits = edits::between(&edits::said(&held.settings), &edits::said(&record.settings));
        let event = self.event(EventKind::TenantChanged, Outcome::Done, env).resource(self.object());
        change.event_of_edits(&event, &edits);
        change.commit()?;
        let record = Arc::new(record);
        tenants.insert(Arc::clone(&record));
        Ok(Tenant { identity: self.identity.clone(), record })
    }
}

/// A Check on a view that is pinned already.
///
/// # Errors
/// It could not be decided, which allows nothing.
pub fn check(view: &View, subject: &str, relation: &str, object: &str) -> Answer<Decision> {
    let form = |error: crate::tuple::TupleTextError| Refusal::failed("check.form", error.to_string());
    let key = TupleKeyRef {
        object: ObjectRef::parse(object).map_err(form)?,
        relation,
        subject: SubjectRef::parse(subject).map_err(form)?,
    };
    Ok(view.check(&CheckQuery { key, given: Given::default() }, &Limits::default())?)
}
