//! Places of which there are so many, for work that needs memory while it goes on.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the file's head. Clones share the places.
#[derive(Clone, Debug)]
pub struct Places(Arc<Semaphore>);

/// One of them. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many places.
    #[must_use]
    pub fn new(count: usize) -> Places {
        Places(Arc::new(Semaphore::new(count)))
    }

    /// A place, unless all are taken. Nobody waits for one.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(|_permit| Place { _permit })
    }

    /// How many are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.available_permits()
    }
}
