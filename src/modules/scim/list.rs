//! One resource and many: what is found, in what part, and under which version.
//!
//! A list looks at every resource of its kind, unless the filter asks for one login name, id or id at the client, and answers
//! how many there are in all (RFC 7644 3.4.2). What it would have to look at beyond [`LOOKED_AT_MAX`] it refuses: no list is
//! cut without a word.

use super::filter::Filter;
use super::records::{PERSON_BY_EXTERNAL, SCIM, TEAM_BY_EXTERNAL, external_part};
use super::schema::Kind;
use super::shape::{Selection, Wanted};
use super::{Answer, Fault, groups, users};
use crate::engine::View;
use crate::identity::{Tenant, hash_of};
use serde_json::{Map, Value, json};

/// Most resources of an answer, and how many there are when nobody says.
pub const PAGE_MAX: usize = 200;
const PAGE_DEFAULT: usize = 100;
/// Most resources that one list looks at.
pub const LOOKED_AT_MAX: usize = 50_000;
/// Records that are read in one go.
const RECORDS_PER_READ: usize = crate::identity::PAGE_MAX;

/// Adds the version, which says what a client sees of it: other bytes, another version.
pub(super) fn versioned(mut resource: Value) -> Value {
    let hash = hash_of(&resource.to_string());
    let version = format!("W/\"{}\"", hash.get(..22).unwrap_or(&hash));
    let meta = resource.get_mut("meta").and_then(Value::as_object_mut);
    meta.map(|meta| meta.insert("version".to_owned(), version.into()));
    resource
}

/// The version of a resource.
pub(super) fn version(resource: &Value) -> &str {
    resource.get("meta").and_then(|meta| meta.get("version")).and_then(Value::as_str).unwrap_or_default()
}

/// A resource as it is, and what it was made from.
pub(super) enum Loaded {
    User(users::Loaded),
    Group(groups::Loaded),
}

impl Loaded {
    /// What there is of an id.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn load(tenant: &Tenant, kind: Kind, id: &str) -> Answer<Loaded> {
        match kind {
            Kind::User => users::load(tenant, id).map(Loaded::User),
            Kind::Group => groups::load(tenant, id).map(Loaded::Group),
        }
    }

    /// As a resource; without the groups of a user.
    pub(super) fn resource(&self, tenant: &Tenant, view: &View) -> Answer<Value> {
        match self {
            Loaded::User(user) => users::resource(tenant, view, user),
            Loaded::Group(group) => Ok(groups::resource(tenant, group)),
        }
    }

    /// What a client may write of it.
    pub(super) fn current(&self, tenant: &Tenant, view: &View) -> Answer<Wanted> {
        match self {
            Loaded::User(user) => users::current(tenant, view, user),
            Loaded::Group(group) => Ok(groups::current(tenant, group)),
        }
    }
}

/// The part of a resource that is answered.
pub(super) fn shown(tenant: &Tenant, view: &View, kind: Kind, resource: Value, selection: &Selection) -> Answer<Value> {
    let groups = kind.attribute("groups").is_some_and(|groups| selection.shows(groups));
    let resource = if groups { users::with_groups(tenant, view, resource)? } else { resource };
    Ok(selection.of(kind, &resource))
}

/// What a list asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    pub(super) selection: Selection,
    start: usize,
    count: usize,
}

impl Query {
    /// Of the parameters of a GET, or of the members of a search (RFC 7644 3.4.2, 3.4.3).
    ///
    /// # Errors
    /// One is not right.
    pub(super) fn read<'a>(kind: Kind, parameter: impl Fn(&str) -> Option<&'a str>) -> Answer<Query> {
        Query::among(kind, &[], parameter)
    }

    fn among<'a>(kind: Kind, all: &[Kind], parameter: impl Fn(&str) -> Option<&'a str>) -> Answer<Query> {
        if parameter("sortBy").is_some() {
            return Err(Fault::invalid("lists are not sorted; leave `sortBy` out"));
        }
        let number = |name: &str, default: i64| match parameter(name) {
            None => Ok(default),
            Some(text) => text.parse::<i64>().map_err(|_| Fault::invalid(format!("`{name}` is no number"))),
        };
        // Less than one is one, and less than none is none (RFC 7644 3.4.2.4).
        let start = usize::try_from(number("startIndex", 1)?.max(1)).unwrap_or(usize::MAX);
        let count = number("count", i64::try_from(PAGE_DEFAULT).unwrap_or(i64::MAX))?.max(0);
        Ok(Query {
            filter: parameter("filter").map(|text| Filter::parse(kind, text)).transpose()?,
            selection: Selection::read(kind, all, parameter("attributes"), parameter("excludedAttributes"))?,
            start,
            count: usize::try_from(count).unwrap_or(usize::MAX).min(PAGE_MAX),
        })
    }
}

/// Which resources a list looks at.
struct Candidates {
    ids: Vec<String>,
    /// Whether a kind of index has found them, so that there are no more.
    found: bool,
}

fn candidates(tenant: &Tenant, kind: Kind, filter: Option<&Filter>) -> Answer<Candidates> {
    let asks = |attribute| filter.and_then(|filter| filter.asks_for(attribute));
    let found = |ids| Ok(Candidates { ids, found: true });
    if let Some(id) = asks("id") {
        return found(vec![id.to_owned()]);
    }
    if let Some(external) = asks("externalId") {
        let sort = if kind == Kind::User { PERSON_BY_EXTERNAL } else { TEAM_BY_EXTERNAL };
        return found(tenant.marks(SCIM, sort, &[&external_part(external)], None, RECORDS_PER_READ)?);
    }
    if let Some(name) = asks("userName") {
        return found(tenant.user_by_login(name)?.iter().map(|user| user.id.clone()).collect());
    }
    let mut ids: Vec<String> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let (read, last) = match kind {
            Kind::User => {
                let page = tenant.users(after.as_deref(), RECORDS_PER_READ)?;
                ids.extend(page.iter().filter(|user| user.deleted_at.is_none()).map(|user| user.id.clone()));
                (page.len(), page.last().map(|user| user.id.clone()))
            }
            Kind::Group => {
                let page = groups::page(tenant, after.as_deref(), RECORDS_PER_READ)?;
                let last = page.last().cloned();
                let read = page.len();
                ids.extend(page);
                (read, last)
            }
        };
        if read < RECORDS_PER_READ {
            return Ok(Candidates { ids, found: false });
        }
        if ids.len() > LOOKED_AT_MAX {
            let text = format!("there are more than {LOOKED_AT_MAX}; ask by `userName eq`, `externalId eq` or `id eq`");
            return Err(Fault::bad("tooMany", text));
        }
        after = last;
    }
}

/// A page of resources, as RFC 7644 3.4.2 has it.
///
/// # Errors
/// There are too many to look at, or the disk failed.
pub(super) fn list(tenant: &Tenant, kind: Kind, query: &Query) -> Answer<Value> {
    let (page, total) = found(tenant, kind, query)?;
    Ok(listed(page, total, query.start))
}

/// A page of resources of all kinds, people first (RFC 7644 3.4.3). A filter is for those kinds that have what it names.
///
/// # Errors
/// A parameter is not right for any kind; else as [`list`].
pub(super) fn list_all<'a>(tenant: &Tenant, parameter: impl Fn(&str) -> Option<&'a str>) -> Answer<Value> {
    let kinds = [Kind::User, Kind::Group];
    let queries = kinds.map(|kind| Query::among(kind, &kinds, &parameter));
    if let [Err(fault), Err(_)] = queries {
        return Err(fault);
    }
    let (mut page, mut total, mut start) = (Vec::new(), 0, 1);
    for (kind, query) in kinds.into_iter().zip(queries) {
        let Ok(mut query) = query else { continue };
        start = query.start;
        query.start = query.start.saturating_sub(total).max(1);
        query.count = query.count.saturating_sub(page.len());
        let (more, of_kind) = found(tenant, kind, &query)?;
        page.extend(more);
        total += of_kind;
    }
    Ok(listed(page, total, start))
}

/// A page of resources, and how many there are.
fn found(tenant: &Tenant, kind: Kind, query: &Query) -> Answer<(Vec<Value>, usize)> {
    let view = users::view(tenant)?;
    let candidates = candidates(tenant, kind, query.filter.as_ref())?;
    let with_groups = kind == Kind::User && query.filter.as_ref().is_some_and(|filter| filter.names("groups"));
    let (first, mut total, mut page) = (query.start - 1, 0_usize, Vec::new());
    for id in &candidates.ids {
        let wanted = |total: usize| total >= first && page.len() < query.count;
        // Without a filter, what is not shown is only counted.
        if query.filter.is_none() && !candidates.found && !wanted(total) {
            total += 1;
            continue;
        }
        let loaded = match Loaded::load(tenant, kind, id) {
            Ok(loaded) => loaded,
            Err(fault) if fault.status == 404 => continue, // it went meanwhile
            Err(fault) => return Err(fault),
        };
        let resource = loaded.resource(tenant, &view)?;
        let matches = match &query.filter {
            Some(filter) if with_groups => filter.matches(&users::with_groups(tenant, &view, resource.clone())?),
            Some(filter) => filter.matches(&resource),
            None => true,
        };
        if matches {
            if wanted(total) {
                page.push(shown(tenant, &view, kind, resource, &query.selection)?);
            }
            total += 1;
        }
    }
    Ok((page, total))
}

/// The message around a list.
pub(super) fn listed(page: Vec<Value>, total: usize, start: usize) -> Value {
    let mut out = Map::new();
    out.insert("schemas".to_owned(), json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    out.insert("totalResults".to_owned(), total.into());
    out.insert("startIndex".to_owned(), start.into());
    out.insert("itemsPerPage".to_owned(), page.len().into());
    out.insert("Resources".to_owned(), page.into());
    Value::Object(out)
}
