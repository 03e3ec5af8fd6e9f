//! Places of which there are so many, for work that needs memory or a thread while it goes on. One tenant has at most a share of
//! them, so that none takes them all from the others.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// See the file's head. Clones share the places.
#[derive(Clone, Debug)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    count: usize,
    share: usize,
    /// How many each tenant has, by its number; none has 0.
    // INVARIANT: at most `share` each, and `count` together.
    taken: Mutex<HashMap<u32, usize>>,
}

/// One of them. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    tenant: u32,
}

impl Places {
    /// So many places, and how many of them one tenant may have.
    #[must_use]
    pub fn new(count: usize, share: usize) -> Places {
        Places(Arc::new(Inner { count, share, taken: Mutex::default() }))
    }

    /// A place for a tenant, unless it has its share, or all are taken. Nobody waits for one.
    #[must_use]
    pub fn take(&self, tenant: u32) -> Option<Place> {
        let mut taken = self.0.taken.lock();
        let own = taken.get(&tenant).copied().unwrap_or(0);
        if own >= self.0.share || taken.values().sum::<usize>() >= self.0.count {
            return None;
        }
        taken.insert(tenant, own + 1);
        Some(Place { places: self.clone(), tenant })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.lock().values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock();
        match taken.get_mut(&self.tenant) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => {
                taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_share_and_others_theirs() {
        let places = Places::new(3, 2);
        let first = [places.take(1).unwrap(), places.take(1).unwrap()];
        assert!(places.take(1).is_none(), "that is its share");
        let second = places.take(2).unwrap();
        assert!(places.take(3).is_none() && places.take(2).is_none(), "all are taken");
        drop(first);
        assert_eq!(places.taken(), 1);
        let third = [places.take(3), places.take(1)];
        assert!(third.iter().all(Option::is_some));
        drop((second, third));
        assert!(places.0.taken.lock().is_empty());
    }
}
