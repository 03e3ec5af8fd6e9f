//! By which tuples a Check in an audit log was allowed: asked of the data stores of the tenant, at the revision at which it was
//! decided while that is retained, and else as things are now.

use crate::engine::{CheckQuery, Consistency, Given, Limits};
use crate::identity::Identity;
use crate::modules::audit::explain::{Checked, Path, Paths};
use crate::tuple::{Revision, StoreId, TupleKeyRef};

/// Most nodes that one explanation visits: it is for people, and holds up nobody.
const VISITS_MAX: u64 = 1_000_000;

/// The data stores of the tenants of a database.
pub struct StorePaths(pub Identity);

impl Paths for StorePaths {
    fn path(&self, tenant: u32, checked: &Checked<'_>) -> Option<Path> {
        let stores = self.0.tenant(tenant)?.data_stores().ok()?;
        // An event names no store; a type that a store does not have is an error there, and the next one is asked.
        let then = checked.revision.map(Revision).and_then(|revision| {
            stores.iter().find_map(|store| self.tuples(*store, Consistency::Exact(revision), checked))
        });
        let found = then.map(|tuples| Path { tuples, then: true });
        found.or_else(|| {
            let now = stores.iter().find_map(|store| self.tuples(*store, Consistency::Latest, checked));
            now.map(|tuples| Path { tuples, then: false })
        })
    }
}

impl StorePaths {
    fn tuples(&self, store: StoreId, consistency: Consistency, checked: &Checked<'_>) -> Option<Vec<String>> {
        let key = TupleKeyRef::parse(checked.object, checked.relation, checked.subject).ok()?;
        let view = self.0.engine().view(store, None, consistency).ok()?;
        let limits = Limits { visits_max: VISITS_MAX, ..Limits::default() };
        view.witness(&CheckQuery { key, given: Given::default() }, &limits).ok()?
    }
}
