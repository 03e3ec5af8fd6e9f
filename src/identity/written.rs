//! Which records of a module were written lately, for whoever keeps something in memory that is made of them.

use super::Tenant;
use crate::engine::{Module, RecordChange};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};

/// Most keys that are remembered of a tenant and a module.
const REMEMBERED_MAX: usize = 1_024;

/// A place in the writes of a tenant and a module, while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteMark(u64);

/// What was written since a [`WriteMark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Records of these keys, some perhaps twice.
    Keys(Vec<Vec<u8>>),
    /// More than is remembered, or nobody asked before: any record may be another.
    Any,
}

/// The keys that were written last, and how many before them.
#[derive(Default)]
struct Recent {
    // INVARIANT: at most `REMEMBERED_MAX`.
    keys: VecDeque<Vec<u8>>,
    forgotten: u64,
}

impl Recent {
    fn mark(&self) -> WriteMark {
        WriteMark(self.forgotten + self.keys.len() as u64)
    }
}

/// The keys of a change that records have; those of events, which are appended, nobody keeps in memory.
pub(super) fn keys_of(records: &[RecordChange]) -> Vec<(Module, Vec<u8>)> {
    let records = records.iter().filter(|record| !record.appended);
    records.map(|record| (record.module, record.key.clone())).collect()
}

/// What is remembered of all tenants; of a module nothing before somebody asks.
#[derive(Default)]
pub(super) struct Writes {
    recent: Mutex<HashMap<(u32, Module), Recent>>,
}

impl Writes {
    /// Remembers keys that were written, of modules of which somebody wants to know. Who asks first while a write is under way
    /// is told of it: that is looked at here, when it is done, and not before.
    pub(super) fn note(&self, tenant: u32, keys: Vec<(Module, Vec<u8>)>) {
        let mut recent = self.recent.lock();
        for (module, key) in keys {
            let Some(recent) = recent.get_mut(&(tenant, module)) else { continue };
            if recent.keys.len() == REMEMBERED_MAX {
                recent.keys.pop_front();
                recent.forgotten += 1;
            }
            recent.keys.push_back(key);
        }
    }
}

impl Tenant {
    /// Which records of a module were written since a mark, by changes of this process; and the mark to ask from the next
    /// time. Who asks first, without one, is told [`Written::Any`] and reads all of them.
    #[must_use]
    pub fn written(&self, module: Module, since: Option<WriteMark>) -> (Written, WriteMark) {
        let mut all = self.identity().writes().recent.lock();
        let recent = all.entry((self.number(), module)).or_default();
        let known = since.and_then(|since| usize::try_from(since.0.checked_sub(recent.forgotten)?).ok());
        let written = match known {
            Some(known) => Written::Keys(recent.keys.iter().skip(known).cloned().collect()),
            None => Written::Any,
        };
        (written, recent.mark())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::World;

    #[test]
    fn what_was_written_since_is_known_until_it_is_too_much() {
        const MODULE: Module = Module::new("written_test");
        let world = World::new();
        let tenant = &world.tenant;
        let write = |count: usize| {
            for at in 0..count {
                let mut change = tenant.change(&world.env());
                change.mark(MODULE, b'a', &[&at.to_string()]);
                change.commit().unwrap();
            }
        };
        write(1);
        // A write that is under way when somebody asks first.
        let keys = keys_of(&[RecordChange { module: MODULE, key: vec![7], value: None, appended: false }]);
        let (written, before) = tenant.written(MODULE, None);
        assert_eq!(written, Written::Any, "nobody asked before");
        tenant.identity().writes().note(tenant.number(), keys);
        let (written, first) = tenant.written(MODULE, Some(before));
        assert_eq!(written, Written::Keys(vec![vec![7]]));
        assert_eq!(tenant.written(MODULE, Some(first)), (Written::Keys(vec![]), first));
        write(2);
        let key = |at: &str| crate::identity::record_key(tenant.number(), b'a', &[at]);
        let (written, second) = tenant.written(MODULE, Some(first));
        assert_eq!(written, Written::Keys(vec![key("0"), key("1")]));
        assert_eq!(tenant.written(MODULE, Some(second)).0, Written::Keys(vec![]));
        write(REMEMBERED_MAX - 2);
        let Written::Keys(keys) = tenant.written(MODULE, Some(first)).0 else { panic!("all are remembered") };
        assert_eq!(keys.len(), REMEMBERED_MAX);
        write(1);
        assert_eq!(tenant.written(MODULE, Some(first)).0, Written::Any, "the first is forgotten");
        assert!(
            matches!(tenant.written(MODULE, Some(second)).0, Written::Keys(keys) if keys.len() == REMEMBERED_MAX - 1)
        );
    }
}
